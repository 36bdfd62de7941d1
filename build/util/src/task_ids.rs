//! Task indices by name

use anyhow::{Result, bail};
use std::collections::BTreeMap;

/// The names of all tasks of the application; the position of a name is the index of the task.
#[derive(Clone, Debug)]
pub struct TaskIds(Vec<String>);

/// The tasks of the application that the crate is being built for.
///
/// Panics if the crate is not being built by xtask.
pub fn task_ids() -> TaskIds {
    match crate::env_var("HUBRIS_TASKS") {
        Ok(names) => TaskIds::parse(&names),
        Err(error) => panic!("{error}"),
    }
}

impl TaskIds {
    /// Reads the comma-separated list of `HUBRIS_TASKS`.
    fn parse(names: &str) -> Self {
        Self(names.split(',').map(str::to_string).collect())
    }

    /// Index of a task.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|task| task == name)
    }

    /// Names of all tasks, in the order of their indices.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Indices of several tasks; a name without a task is an error.
    pub fn names_to_ids<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<usize>> {
        names
            .iter()
            .map(|name| match self.get(name.as_ref()) {
                Some(index) => Ok(index),
                None => bail!(
                    "`{}` is not a task; the tasks are {}",
                    name.as_ref(),
                    self.0.join(", ")
                ),
            })
            .collect()
    }

    /// Turns the `allowed-callers` of a task's configuration, which map operations to task names,
    /// into the task indices that a restricted Idol server is generated with.
    pub fn remap_allowed_caller_names_to_ids(
        &self,
        allowed_callers: &BTreeMap<String, Vec<String>>,
    ) -> Result<BTreeMap<String, Vec<usize>>> {
        allowed_callers
            .iter()
            .map(|(operation, names)| match self.names_to_ids(names) {
                Ok(ids) => Ok((operation.clone(), ids)),
                Err(error) => bail!("allowed-callers.{operation}: {error}"),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaps_names_in_order() {
        let ids = TaskIds::parse("jefe,crashlog,idle");
        assert_eq!(ids.get("crashlog"), Some(1));
        assert_eq!(ids.get("crash"), None);
        let callers = BTreeMap::from([(
            "erase".to_string(),
            vec!["idle".to_string(), "jefe".to_string()],
        )]);
        let remapped = ids
            .remap_allowed_caller_names_to_ids(&callers)
            .expect("known tasks");
        assert_eq!(remapped["erase"], [2, 0]);
    }

    #[test]
    fn names_what_is_unknown() {
        let ids = TaskIds::parse("jefe,idle");
        let callers = BTreeMap::from([("erase".to_string(), vec!["monitor".to_string()])]);
        let error = ids
            .remap_allowed_caller_names_to_ids(&callers)
            .expect_err("no such task");
        assert_eq!(
            error.to_string(),
            "allowed-callers.erase: `monitor` is not a task; the tasks are jefe, idle"
        );
    }
}
