//! Upstream's names of `build-util`.

pub use ours::{
    all_tasks_full_config, all_tasks_full_config_toml, build_notifications, config, env_var,
    expose_m_profile, expose_target_board, has_feature, other_task_full_config,
    other_task_full_config_toml, out_dir, target, target_board, target_os, task_config,
    task_extern_regions, task_full_config, task_full_config_toml, task_ids, task_maybe_config,
    task_name, toml_from_str, TaskIds,
};
