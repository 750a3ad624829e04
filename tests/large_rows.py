"""Tests that only `make test-slow` runs: rows of products that keep smaller ones in `make test`."""

import pytest

# {test: numbers of its rows that `make test` runs, and that it does not}, of all that were collected.
COLLECTED = pytest.StashKey[dict[str, list[int]]]()

# Each is the beginning of the name that pytest gives to a test.
LARGE_ROWS = (
    "tests/sweeps/experiments_test.py::test_an_arm_builds[gin/paper/fig05.gin",
    "tests/sweeps/experiments_test.py::test_an_arm_builds[gin/paper/small/fig06_vit.gin",
    "tests/command_line/diagnose/report/action_test.py"
    "::TestRun::test_along_the_run_is_what_it_measured_itself",
    "tests/command_line/diagnose/report/action_test.py::test_a_task_in_memory",
    "tests/command_line/diagnose/spectrum/action_test.py::test_the_real_program_on_a_keras_3_classifier",
    "tests/contracts/diagnostics_contract_test.py::test_only_reads_and_gives_what_it_says[cnn-",
    "tests/contracts/diagnostics_contract_test.py::test_only_reads_and_gives_what_it_says[mlp-",
    "tests/diagnostics/prepare_test.py::test_one_pass_gives_what_each_quantity_gives_alone[2-",
    "tests/diagnostics/reading/linear_layers_test.py::test_activations_keep_their_bits[resnet18]",
    "tests/diagnostics/reading/masks_test.py::test_a_layer_for_each_time_step",
    "tests/diagnostics/reading/masks_test.py::test_shift_and_churn",
    "tests/diagnostics/reading/masks_test.py"
    "::test_statistics_are_those_of_the_positions_that_count[both ways-",
    "tests/diagnostics/reading/masks_test.py"
    "::test_statistics_are_those_of_the_positions_that_count[recurrent-",
    "tests/diagnostics/report_summary_test.py::test_cells_are_no_layers[GRU]",
    "tests/diagnostics/report_summary_test.py::test_cells_are_no_layers[SimpleRNN]",
    "tests/diagnostics/units/unit_map_test.py"
    "::test_units_of_our_networks_are_found_by_what_their_weights_change[resnet18]",
    "tests/gin_configs_test.py"
    "::test_a_file_whose_data_is_in_memory_builds_on_its_own_and_in_its_quick_size"
    "[gin/mdp_random_label_cifar10.gin",
    "tests/linalg/operators/hessian_test.py"
    "::test_equals_central_differences_of_the_gradient[GroupNormalization-keras_3]",
    "tests/linalg/operators/hessian_test.py::test_float32_agrees_with_float64[GroupNormalization-keras_3]",
    "tests/linalg/trace_test.py::test_intervals_cover_the_truth_at_their_rate[1-",
    "tests/linalg/trace_test.py::test_intervals_cover_the_truth_at_their_rate[2-hutchinson]",
    "tests/linalg/trace_test.py::test_intervals_cover_the_truth_at_their_rate[flat-hutch++]",
    "tests/losses/keras_loss_test.py"
    "::test_gradients_of_examples_have_the_gradient_of_the_loss_as_their_mean[mask-",
    "tests/losses/keras_loss_test.py::test_masked_blocks_divide_by_all_that_is_valid",
    "tests/networks/vit_test.py::test_a_run_that_goes_on_from_a_file_is_the_same_bit_for_bit",
    "tests/probing/probe_test.py::test_legacy_optimizers_train_as_in_keras[rmsprop-fresh]",
    "tests/probing/probe_test.py::test_legacy_optimizers_train_as_in_keras[sgd-fresh]",
    "tests/probing/probe_test.py::test_nothing_is_disturbed_and_the_seed_decides[mlp-",
    "tests/probing/probe_test.py::test_the_librarys_own_optimizers_go_side_by_side[adam]",
    "tests/rl/atari/games_test.py::test_every_benchmark_game_loads_and_has_its_own_canonical_name",
    "tests/rl/atari_task_test.py::test_goes_on_from_a_save_as_if_nothing_had_been[1]",
    "tests/rl/atari/environment_test.py::test_a_restored_environment_goes_on_bit_for_bit[0.0-",
    "tests/rl/atari/environment_test.py::test_a_restored_environment_goes_on_bit_for_bit[0.25-1]",
    "tests/rl/mdp_loop_test.py::test_every_agent_trains[c51]",
    "tests/rl/mdp_loop_test.py::test_every_agent_trains[dqn]",
    "tests/rl/profiled_runs_test.py::test_a_classification_mdp[graph]",
    "tests/rl/replay/frame_replay_test.py::test_agents_fold_a_sample_to_the_n_step_return[1]",
    "tests/sweeps/preflight/process_test.py::test_a_process_of_its_own",
    "tests/sweeps/experiments_test.py::test_an_arm_builds[gin/paper/fig06_transformers.gin",
    "tests/sweeps/experiments_test.py::test_an_arm_builds[gin/paper/small/fig06_resnet18.gin",
    "tests/sweeps/experiments_test.py::test_fig07_has_all_games_at_the_size_of_the_paper",
    "tests/training/brownian_twin_test.py::test_directions_are_random_and_independent",
    "tests/training/events/twin_diagnostics_test.py::test_a_budget_is_measured_of_both",
    "tests/training/events/twin_diagnostics_test.py::test_a_resumed_run_writes_the_same_files",
    "tests/training/events/twin_diagnostics_test.py"
    "::test_without_its_own_loss_what_needs_one_is_left_out_in_so_many_words",
    "tests/training/graph_loop_test.py::test_a_loss_that_is_not_finite_stops_the_run_at_its_step[xla",
    "tests/training/graph_loop_test.py::test_a_run_with_measurements_is_the_run_without[xla]",
    "tests/training/graph_loop_test.py::test_chunks_of_other_lengths_give_the_same_bits_and_are_traced_once[xla]",
    "tests/training/graph_loop_test.py::test_seeds[xla]",
    "tests/training/plastic_model_test.py::test_how_many_steps_a_call_takes_leaves_no_trace[5]",
)

# Of these tests `make test` runs the rows that begin like this, and `make test-slow` all others.
SMALL_ROWS = {
    "tests/data/examples_test.py::test_diagnose_and_snapshot": ("keras_2",),
    "tests/data/examples_test.py::test_the_callback": ("keras_3",),
    "tests/diagnostics/diagnose_test.py::test_edge_cases_make_a_whole_report": (
        "all_dead",
        "batch_of_one",
    ),
    "tests/diagnostics/quantities/pre_activations_test.py::test_against_numpy": ("True-keras_2",),
    "tests/diagnostics/quantities/shared/example_gradients_test.py::test_other_dtypes": (
        "bfloat16",
        "mixed_float16",
    ),
    "tests/diagnostics/quantities/shared/example_gradients_test.py::test_parts_of_any_size_give_the_same": (
        "1]",
    ),
    "tests/diagnostics/units/unit_axes_test.py::test_half_of_the_filters_dead": (
        "activation layer",
        "back",
        "flatten",
        "norm",
        "one dimension",
        "pooled",
    ),
    "tests/diagnostics/units/unit_layouts_test.py::test_some_layouts": (
        "channels first",
        "groups",
        "self-attention",
    ),
    "tests/layers/activation_monitor_axes_test.py::test_statistics_are_of_the_units_wherever_their_axis_is": (
        "channels",
        "depthwise",
        "distributed",
        "flattened",
        "lambda",
        "pooled",
        "put",
        "reshaped",
        "separable",
    ),
    "tests/losses/keras_loss_test.py::test_the_callback_with_several_losses": ("dict of losses",),
    "tests/mitigations/continual_backprop_test.py::test_the_rule": ("dense",),
    "tests/mitigations/fresh_test.py::test_fresh_weights_of_a_model_are_as_its_first": (
        "attention",
        "cnn",
        "depthwise",
        "mlp",
        "recurrent",
        "separable",
        "vit",
    ),
    "tests/mitigations/grama_test.py::test_the_rule": ("convolutional",),
    "tests/mitigations/partial_resets_test.py::test_the_rule": ("dense",),
    "tests/mitigations/redo_test.py::test_the_rule": ("convolutional-2",),
    "tests/mitigations/self_normalized_resets_test.py::test_the_rule": ("dense",),
    "tests/mitigations/shrink_and_perturb_test.py::test_every_step_in_each_form": (
        "convolutional-initial-updated",
    ),
    "tests/optimizers/per_entry_steps_test.py::test_entries_that_are_reset_count_again_from_one": ("means",),
    "tests/probing/training/batched_trace_test.py::test_equals_each_function_alone": ("None",),
    "tests/training/execution/non_finite_test.py::test_output_or_gradient_of_a_layer": (
        "gradient-graph",
        "output-graph",
    ),
    "tests/training/graph_loop_test.py::test_stopped_and_resumed_is_the_same_as_not_stopped": ("graph-5",),
    "tests/training/plastic_model_test.py::test_hessian_vector_product_is_that_of_the_compiled_loss": (
        "True",
    ),
    "tests/training/plastic_model_test.py::test_masks_weights_and_regularizers_are_those_of_keras_own_fit": (
        "sum_over",
    ),
    "tests/training/run/write_errors_test.py::test_a_full_disk": ("1000",),
    "tests/training/step_context_test.py::test_parts_of_a_task_in_memory": ("graph",),
    "tests/mitigations/combinations_test.py::test_combinations_train": (
        "0]",
        "1]",
        "4]",
        "6]",
        "7]",
        "8]",
        "11]",
        "17]",
    ),
    "tests/gin_configs_test.py::test_a_mitigation_or_a_network_goes_with_every_kind_of_task": (
        "gin/mdp_true_label_digits.gin-gin/diagnostics/full",
        "gin/mdp_true_label_digits.gin-gin/mitigations/re",
        "gin/mdp_true_label_digits.gin-gin/networks",
        "gin/mdp_true_label_digits.gin-gin/optimizers/a",
        "gin/random_labels",
    ),
    "tests/optimizers/pure_test.py::test_a_hundred_steps_equal_a_float64_transcription": (
        "graph-",
        "xla-PureAdam-",
        "xla-PureMuon-",
        "xla-PureSGD-",
    ),
    "tests/callbacks/plasticity_diagnostics_test.py::test_training_goes_on_as_without_it": ("medium",),
    "tests/command_line/diagnose/keras_files/saved_model_test.py::test_honest_files_load": ("keras2-h5",),
    "tests/command_line/diagnose/keras_files/saved_model_test.py::test_the_optimizer_of_an_honest_file": (
        "keras2-h5",
    ),
    "tests/contracts/diagnostics_contract_test.py::test_each_part_of_a_snapshot_only_reads": (
        "dropout_and_batch_norm",
        "mlp",
    ),
    "tests/contracts/networks_contract_test.py::test_a_gradient_reaches_every_weight": (
        "cnn-batch",
        "mlp-rms",
        "nature_dqn-layer",
        "resnet18-None",
        "vit-layer",
    ),
    "tests/contracts/networks_contract_test.py::test_compiled_equals_eager_and_is_traced_once": (
        "cnn-rms",
        "mlp-layer",
        "nature_dqn-layer",
        "resnet18-None",
        "vit-layer",
    ),
    "tests/contracts/networks_contract_test.py::test_computes_in_bfloat16_with_float32_weights_and_outputs": (
        "cnn-layer",
        "mlp-batch",
        "resnet18-None",
        "vit-rms",
    ),
    "tests/contracts/networks_contract_test.py::test_is_saved_and_loaded": (
        "cnn-batch",
        "mlp-rms",
        "nature_dqn-layer",
        "resnet18-None",
        "vit-layer",
    ),
    "tests/contracts/networks_contract_test.py::test_outputs_are_float32_of_the_shape_asked_for": (
        "3-mlp",
        "num_outputs1",
    ),
    "tests/contracts/networks_contract_test.py"
    "::test_the_same_seed_gives_the_same_weights_whatever_the_global_seed": (
        "cnn-layer",
        "mlp-batch",
        "nature_dqn-None",
        "resnet18-None",
        "vit-rms",
    ),
    "tests/contracts/tasks_contract_test.py::test_batches_under_xla_are_those_of_eager_code": (
        "true_label_mdp",
    ),
    "tests/diagnostics/prepare_test.py::test_a_loss_with_another_pass_keeps_its_own": (
        "arguments0",
        "arguments2",
    ),
    "tests/diagnostics/quantities/curvature_test.py::test_preconditioned_sharpness": (
        "tf_keras-adamw",
        "tf_keras-amsgrad",
        "tf_keras-counts by entry",
        "tf_keras-scaled",
        "tf_keras-step_size",
    ),
    "tests/diagnostics/quantities/unit_activity_test.py::test_channels_are_units_over_batch_and_positions": (
        "1-False",
        "7-True",
    ),
    "tests/diagnostics/units/unit_map_test.py"
    "::test_units_of_our_networks_are_found_by_what_their_weights_change": (
        "cnn_batch_after",
        "cnn_spectral",
        "mlp",
        "nature_dqn_layer",
        "vit_token_after",
    ),
    "tests/diagnostics/units/unit_statistics_test.py::test_against_numpy_whole_and_in_blocks": (
        "3-",
        "512-",
    ),
    "tests/diagnostics/units/unit_statistics_test.py::test_saturation": (
        "float32-hard_sigmoid",
        "float32-sigmoid",
        "mixed_bfloat16-tanh",
        "mixed_float16-sigmoid",
    ),
    "tests/linalg/architectures_test.py::test_equals_central_differences_and_loops_of_tapes": (
        "embedding",
        "mlp",
        "residual",
        "shared",
    ),
    "tests/linalg/eigsh_completeness_test.py::test_values_are_the_first_ones_or_not_converged": (
        "cluster-SA",
        "copies-LA",
        "decaying-LM",
        "half_zero-SA",
        "network-LA",
        "random-LM",
    ),
    "tests/linalg/eigsh_test.py::test_equals_dense_eigenvalues": (
        "float32-0.0001-0.0001-1",
        "float64-1e-10-1e-09-4",
    ),
    "tests/linalg/lanczos_test.py::test_partial_reorthogonalization_gives_the_quadrature_of_a_full_one": (
        "float64",
    ),
    "tests/linalg/operators/from_model_test.py::test_the_hessian_is_that_of_the_gradient_that_fit_applies": (
        "mask",
        "sum and weights",
    ),
    "tests/linalg/operators/guard_layers_test.py::test_a_layer_is_right_or_refused": (
        "keras-Embedding",
        "keras-LayerNormalization",
        "keras-MaxPooling2D",
        "keras-MultiHeadAttention",
        "keras-UpSampling2D nearest",
        "tf_keras-BatchNormalization",
    ),
    "tests/linalg/operators/hessian_test.py::test_equals_central_differences_of_the_gradient": (
        "BatchNormalization-keras_3",
        "GroupNormalization-keras_2",
        "LayerNormalization-keras_2",
    ),
    "tests/linalg/operators/hessian_test.py::test_float32_agrees_with_float64": (
        "BatchNormalization-keras_3",
        "GroupNormalization-keras_2",
        "LayerNormalization-keras_2",
    ),
    "tests/linalg/operators/operator_test.py::test_blocks": (
        "layer-fisher",
        "layer-hessian",
        "layer-ntk",
        "variable-gauss_newton",
    ),
    "tests/losses/keras_loss_test.py::test_value_and_gradient_are_those_of_keras": (
        "add_loss-keras_3",
        "dict of losses-keras_3",
        "function of a batch-keras_2",
        "list of losses-keras_2",
        "loss_weights-keras_2",
        "mask-keras_2",
        "mean-keras_3",
        "no loss of outputs-keras_2",
        "one loss of two outputs-keras_2",
        "regularizers-keras_2",
        "sample weights-keras_2",
        "sum and regularizers-keras_3",
        "sum-keras_2",
    ),
    "tests/mitigations/fresh_test.py::test_a_graph_draws_the_same_bits_and_xla_nearly_all_of_them": (
        "GlorotUniform",
        "Orthogonal0",
        "TruncatedNormal",
    ),
    "tests/mitigations/gradient_clipping_test.py::test_ten_steps": ("dense",),
    "tests/mitigations/l2_init_test.py::test_ten_steps": ("l2-convolutional",),
    "tests/mitigations/normalize_and_project_test.py::test_ten_steps": ("True-convolutional",),
    "tests/mitigations/parseval_regularization_test.py::test_ten_steps": ("convolutional",),
    "tests/mitigations/spectral_regularization_test.py::test_ten_steps": ("2-1.0-False-dense",),
    "tests/mitigations/wasserstein_init_test.py::test_ten_steps": ("sum-convolutional",),
    "tests/mitigations/weight_clipping_test.py::test_ten_steps": ("convolutional",),
    "tests/networks/activations_test.py"
    "::test_a_trimmed_network_has_as_many_weights_as_with_relu_or_just_fewer": (
        "cnn-layer",
        "mlp",
        "nature_dqn-None",
        "vit-None",
    ),
    "tests/networks/activations_test.py::test_every_builder_takes_it_and_is_saved_and_loaded": (
        "cnn-deep_fourier",
        "mlp",
        "nature_dqn-crelu",
        "vit-rational",
    ),
    "tests/networks/cnn_test.py::test_equals_a_float64_forward_pass": (
        "same-(1, 1)-before-None",
        "same-(2, 1)-after-batch",
        "same-(2, 1)-before-layer",
        "valid-(1, 2)-after-rms",
        "valid-(1, 2)-before-batch",
    ),
    "tests/networks/nature_dqn_test.py::test_equals_a_float64_forward_pass": (
        "False-3-after-relu",
        "False-num_outputs1-None-tanh",
        "True-3-None-relu",
        "True-3-before-relu",
        "True-num_outputs1-before-tanh",
    ),
    "tests/networks/resnet18_test.py::test_number_of_parameters": ("arguments0",),
    "tests/optimizers/hidden_matrices_test.py::test_adamo_equals_a_float64_transcription": (
        "{'max_gradient_norm': 0.5}-xla",
        "{}-graph",
    ),
    "tests/optimizers/hidden_matrices_test.py::test_muon_equals_a_float64_transcription": (
        "False-graph",
        "True-xla",
    ),
    "tests/optimizers/trac_test.py::test_equals_a_float64_transcription": (
        "0.0-steady-1e-08",
        "0.9-changing-0.01",
    ),
    "tests/optimizers/upgd_test.py::test_equals_a_float64_transcription": (
        "{'corrects_maximum'",
        "{'scaling': 'local', 'protects'",
        "{'step_factor'",
        "{'utility_decay'",
        "{}",
    ),
    "tests/probing/probe_test.py::test_curves_are_those_of_a_plain_training_loop": (
        "one_after_another-adam_norm",
        "one_after_another-schedule",
        "side_by_side-adamw_global_norm",
        "side_by_side-rmsprop",
    ),
    "tests/probing/probe_test.py::test_legacy_optimizers_train_as_in_keras": (
        "adam-fresh",
        "rmsprop-copied",
    ),
    "tests/probing/probe_test.py::test_the_librarys_own_optimizers_go_side_by_side": (
        "adam_root",
        "rmsprop",
    ),
    "tests/reports/aggregate_test.py::test_bands_cover_the_median_as_often_as_they_say": (
        "10-exponential",
        "2-normal",
        "3-exponential",
        "5-normal",
        "6-normal",
    ),
    "tests/reports/falsification_test.py::test_noise_is_seldom_called_a_correlation": (
        "lognormal-10",
        "lognormal-4",
        "normal-3",
        "normal-5",
        "normal-6",
    ),
    "tests/rl/atari/environment_test.py::test_an_episode_is_its_seed_and_its_actions_whatever_came_before": (
        "0.25",
    ),
    "tests/rl/atari/environment_test.py::test_another_seed_other_bits": ("MsPacman",),
    "tests/rl/atari/environment_test.py::test_equals_gymnasium_except_for_the_first_stacks": (
        "Breakout",
        "MsPacman",
    ),
    "tests/rl/atari_task_test.py::test_the_warm_up_pauses_every_hundred_agent_steps_and_stops_exactly": (
        "101",
        "2]",
    ),
    "tests/rl/diagnosed_loss_test.py::test_the_mean_of_the_examples_is_the_loss": (
        "5-1-dqn",
        "5-3-c51",
        "512-1-two_hot_dqn",
        "512-3-double_dqn",
    ),
    "tests/rl/mdp_task_test.py::test_no_summary_gets_into_a_compiled_loss": (
        "False-dqn",
        "False-two_hot_dqn",
        "True-c51",
        "True-double_dqn",
    ),
    "tests/rl/mdp_task_test.py::test_the_warm_up_fills_the_replay_with_what_the_random_policy_experiences": (
        "sparse_reward_mdp",
    ),
}
