"""Methods of the common setting: their entries in the list of methods, and claims of papers on them."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Claimed:
    """A paper's claim that a method keeps networks plastic.

    Attributes:
        paper: authors and year, or number of the preprint; the setting, if it is not streams of this kind.
        helps_not_on: streams of ours on whose like it says that the method does not help.
    """

    paper: str
    helps_not_on: tuple[str, ...] = ()

    def helps_on(self, stream: str) -> bool:
        """Returns whether the method is claimed to be better than none on a stream."""
        return stream not in self.helps_not_on


PAGES: Mapping[str, str] = {
    "baseline_1e-4": "adam",
    "l2": "weightdecay",
    "c_chain": "cchain",
    "infer": "infer",
    "l2_er": "l2er",
    "l2_init": "l2init",
    "parseval_regularization": "parsevalregularization",
    "resampled_init": "resampledinit",
    "spectral_regularization": "spectralregularization",
    "wasserstein_init": "wassersteininit",
    "weight_decay": "weightdecay",
    "gradient_clipping": "gradientclipping",
    "dash": "dash",
    "fire": "fire",
    "hare_and_tortoise": "hareandtortoise",
    "normalize_and_project": "normalizeandproject",
    "partial_resets": "partialresets",
    "shrink_and_perturb": "shrinkandperturb",
    "shrink_and_perturb_ash": "shrinkandperturb",
    "shrink_and_perturb_kumar": "shrinkandperturb",
    "weight_clipping": "weightclipping",
    "continual_backprop": "continualbackprop",
    "grama": "grama",
    "plasticity_injection": "plasticityinjection",
    "redo": "redo",
    "reset_last_layer": "resetlastlayer",
    "reset_network": "resetnetwork",
    "self_normalized_resets": "selfnormalizedresets",
    "adam_rel": "resetoptimizerstate",
    "reset_optimizer_state": "resetoptimizerstate",
    "adamo": "adamo",
    "adamw": "adamw",
    "muon": "muon",
    "trac": "trac",
    "tuned_adam": "adam",
    "upgd": "upgd",
    "crelu": "crelu",
    "deep_fourier": "deepfourier",
    "layer_norm": "norm",
    "rational": "rational",
    "spectral_norm": "spectral_norm_layers",
}
"""{method of an arm: anchor of its entry in docs/methods.md}."""

CLAIMS: Mapping[str, Claimed] = {
    "c_chain": Claimed("Tang et al. 2025 (reinforcement learning)"),
    "l2": Claimed("Kumar et al. 2023", helps_not_on=("random_labels",)),
    "infer": Claimed("Lyle et al. 2022 (reinforcement learning)"),
    "l2_er": Claimed("Prakash et al. 2026"),
    "l2_init": Claimed("Kumar et al. 2023"),
    "parseval_regularization": Claimed("Chung et al. 2024"),
    "spectral_regularization": Claimed("Lewandowski et al. 2024"),
    "dash": Claimed("Shin et al. 2024 (warm start)"),
    "fire": Claimed("FIRE, 2602.08040"),
    "hare_and_tortoise": Claimed("Lee et al. 2024"),
    "normalize_and_project": Claimed("Lyle et al. 2024"),
    "partial_resets": Claimed("CPR, 2607.24996 (reinforcement learning)"),
    "shrink_and_perturb_ash": Claimed("Ash and Adams 2020 (warm start)"),
    "shrink_and_perturb_kumar": Claimed("Kumar et al. 2023"),
    "weight_clipping": Claimed("Elsayed et al. 2024"),
    "continual_backprop": Claimed("Dohare et al. 2024"),
    "grama": Claimed("Liu et al. 2025 (reinforcement learning)"),
    "plasticity_injection": Claimed("Nikishin et al. 2023 (reinforcement learning)"),
    "redo": Claimed("Sokar et al. 2023 (reinforcement learning)"),
    "reset_network": Claimed("Nikishin et al. 2022 (reinforcement learning)"),
    "self_normalized_resets": Claimed("Farias and Jozefiak 2024"),
    "adam_rel": Claimed("Ellis et al. 2024 (reinforcement learning)"),
    "adamo": Claimed("AdamO, 2606.09762"),
    "trac": Claimed("Muppidi et al. 2024 (reinforcement learning)"),
    "tuned_adam": Claimed("Lyle et al. 2023 (MDPs)"),
    "upgd": Claimed("Elsayed and Mahmood 2024 (batches of one)"),
    "crelu": Claimed("Abbas et al. 2023 (reinforcement learning)"),
    "deep_fourier": Claimed("Lewandowski et al. 2024"),
    "layer_norm": Claimed("Lyle et al. 2023 (MDPs)"),
    "rational": Claimed("Delfosse et al. 2024 (reinforcement learning)"),
}
"""{method of an arm: the claim of the paper that its constants are from}."""
