//! `graph`: which task sends to which, for Graphviz

use crate::config::Config;
use std::fmt::Write;

/// The tasks, the most important first, with an edge for each slot and a dashed one for each
/// interrupt.
pub fn dot(config: &Config) -> String {
    let mut text = String::from("digraph tasks {\n  node [shape = box];\n");
    for (name, task) in &config.app.tasks {
        line(
            &mut text,
            &format!(
                "{name:?} [label = {:?}];",
                format!("{name}\npriority {}", task.priority)
            ),
        );
    }
    for (name, task) in &config.app.tasks {
        for (slot, target) in &task.task_slots {
            let label = if slot == target {
                String::new()
            } else {
                format!(" [label = {slot:?}]")
            };
            line(&mut text, &format!("{name:?} -> {target:?}{label};"));
        }
        for source in task.interrupts.keys() {
            line(&mut text, &format!("{source:?} [shape = ellipse];"));
            line(
                &mut text,
                &format!("{source:?} -> {name:?} [style = dashed];"),
            );
        }
    }
    text.push_str("}\n");
    text
}

fn line(text: &mut String, what: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "  {what}");
}

#[cfg(test)]
mod tests {
    use super::dot;
    use crate::testing::Files;

    #[test]
    fn slots_and_interrupts_are_edges() {
        let config = Files::good().load().expect("good");
        let text = dot(&config);
        for line in [
            "  \"net\" [label = \"net\\npriority 2\"];\n",
            "  \"net\" -> \"jefe\";\n",
            "  \"eth.irq\" -> \"net\" [style = dashed];\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
