"""Tests that only `make test-slow` runs: the most expensive rows of kinds that keep smaller ones elsewhere.

Each is the beginning of the name that pytest gives to a test.
"""

LARGE_ROWS = (
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
    "tests/training/events/profiler_test.py::test_steps_of_a_compiled_loop_are_shown_one_by_one[graph]",
    "tests/training/events/twin_diagnostics_test.py::test_a_budget_is_measured_of_both",
    "tests/training/events/twin_diagnostics_test.py::test_a_resumed_run_writes_the_same_files",
    "tests/training/events/twin_diagnostics_test.py"
    "::test_without_its_own_loss_what_needs_one_is_left_out_in_so_many_words",
    "tests/training/graph_loop_test.py::test_a_loss_that_is_not_finite_stops_the_run_at_its_step[xla",
    "tests/training/graph_loop_test.py::test_a_run_with_measurements_is_the_run_without[xla]",
    "tests/training/graph_loop_test.py::test_seeds[xla]",
    "tests/training/plastic_model_test.py::test_how_many_steps_a_call_takes_leaves_no_trace[5]",
)
