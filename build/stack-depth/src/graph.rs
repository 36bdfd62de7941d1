//! The call graph, and the chain of calls with the largest sum of frames

use super::Functions;
use std::collections::{BTreeMap, BTreeSet};

/// The call graph, in which each circle of calls is one node.
pub struct Graph<'a> {
    functions: &'a Functions,
    calls: BTreeMap<u32, BTreeSet<u32>>,
    /// For each function, the circle that it is in.
    circle_of: BTreeMap<u32, usize>,
    /// Callees before callers.
    circles: Vec<Vec<u32>>,
    /// For each circle, the stack from its first function on.
    needs: Vec<u32>,
}

impl<'a> Graph<'a> {
    /// The graph in which calls through registers may call any function of `stored`.
    pub fn new(functions: &'a Functions, stored: &BTreeSet<u32>) -> Self {
        let mut calls = BTreeMap::new();
        for (address, function) in functions {
            let mut to = function.calls.clone();
            if function.indirect {
                to.extend(stored);
            }
            calls.insert(*address, to);
        }
        let circles = circles(&calls);
        let circle_of: BTreeMap<u32, usize> = circles
            .iter()
            .enumerate()
            .flat_map(|(i, circle)| circle.iter().map(move |a| (*a, i)))
            .collect();
        let mut needs = Vec::new();
        for (index, circle) in circles.iter().enumerate() {
            let own: u32 = circle.iter().map(|address| functions[address].frame).sum();
            let beyond = circle
                .iter()
                .flat_map(|address| &calls[address])
                .map(|to| circle_of[to]);
            let deepest = beyond
                .filter(|to| *to != index)
                .map(|to: usize| needs[to])
                .max()
                .unwrap_or_default();
            needs.push(own + deepest);
        }
        Self {
            functions,
            calls,
            circle_of,
            circles,
            needs,
        }
    }

    /// Stack from `entry` on.
    pub fn need(&self, entry: u32) -> u32 {
        self.circle_of
            .get(&entry)
            .map_or(0, |circle| self.needs[*circle])
    }

    /// The deepest chain of calls from `entry`.
    pub fn deepest(&self, entry: u32) -> Vec<u32> {
        let mut chain = Vec::new();
        let mut next = self.circle_of.get(&entry).copied();
        while let Some(circle) = next {
            chain.extend(
                self.circles[circle]
                    .iter()
                    .filter(|address| self.functions[*address].frame > 0),
            );
            let beyond = self.circles[circle]
                .iter()
                .flat_map(|address| &self.calls[address]);
            next = beyond
                .map(|to| self.circle_of[to])
                .filter(|to| *to != circle)
                .max_by_key(|to| self.needs[*to]);
        }
        chain
    }

    /// Functions that `entry` reaches and that can come back to themselves.
    pub fn circles(&self, entry: u32) -> Vec<u32> {
        let mut reached = BTreeSet::new();
        let mut open = vec![entry];
        while let Some(address) = open.pop() {
            if reached.insert(address) {
                open.extend(self.calls.get(&address).into_iter().flatten());
            }
        }
        let recursive = |address: &u32| {
            self.circles[self.circle_of[address]].len() > 1 || self.calls[address].contains(address)
        };
        reached
            .into_iter()
            .filter(|address| self.circle_of.contains_key(address))
            .filter(recursive)
            .collect()
    }
}

/// The strongly connected components of a graph, callees first (Tarjan's algorithm, without
/// recursion).
fn circles(calls: &BTreeMap<u32, BTreeSet<u32>>) -> Vec<Vec<u32>> {
    struct Visit {
        address: u32,
        rest: Vec<u32>,
    }
    let mut order: BTreeMap<u32, usize> = BTreeMap::new();
    let mut lowest: BTreeMap<u32, usize> = BTreeMap::new();
    let mut on_stack: BTreeSet<u32> = BTreeSet::new();
    let mut stack = Vec::new();
    let mut components = Vec::new();
    for root in calls.keys() {
        if order.contains_key(root) {
            continue;
        }
        let mut visits = vec![Visit {
            address: *root,
            rest: calls[root].iter().copied().collect(),
        }];
        order.insert(*root, order.len());
        lowest.insert(*root, order[root]);
        stack.push(*root);
        on_stack.insert(*root);
        while let Some(visit) = visits.last_mut() {
            let address = visit.address;
            match visit.rest.pop() {
                Some(to) if !order.contains_key(&to) => {
                    let index = order.len();
                    order.insert(to, index);
                    lowest.insert(to, index);
                    stack.push(to);
                    on_stack.insert(to);
                    visits.push(Visit {
                        address: to,
                        rest: calls[&to].iter().copied().collect(),
                    });
                }
                Some(to) => {
                    if on_stack.contains(&to) {
                        lowest.insert(address, lowest[&address].min(order[&to]));
                    }
                }
                None => {
                    visits.pop();
                    if let Some(caller) = visits.last() {
                        let low = lowest[&caller.address].min(lowest[&address]);
                        lowest.insert(caller.address, low);
                    }
                    if lowest[&address] == order[&address] {
                        let mut component = Vec::new();
                        while let Some(member) = stack.pop() {
                            on_stack.remove(&member);
                            component.push(member);
                            if member == address {
                                break;
                            }
                        }
                        components.push(component);
                    }
                }
            }
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use super::super::Function;
    use super::*;

    fn functions(list: &[(u32, u32, &[u32], bool)]) -> Functions {
        list.iter()
            .map(|(address, frame, calls, indirect)| {
                let function = Function {
                    name: format!("f{address}"),
                    frame: *frame,
                    calls: calls.iter().copied().collect(),
                    indirect: *indirect,
                };
                (*address, function)
            })
            .collect()
    }

    #[test]
    fn takes_the_deepest_chain() {
        let functions = functions(&[
            (1, 8, &[2, 3], false),
            (2, 100, &[], false),
            (3, 16, &[4], false),
            (4, 90, &[], false),
        ]);
        let graph = Graph::new(&functions, &BTreeSet::new());
        assert_eq!(graph.need(1), 8 + 16 + 90);
        assert_eq!(graph.deepest(1), [1, 3, 4]);
        assert!(graph.circles(1).is_empty());
    }

    #[test]
    fn a_circle_counts_each_of_its_functions_once() {
        let functions = functions(&[
            (1, 8, &[2], false),
            (2, 10, &[3], false),
            (3, 20, &[2, 4], false),
            (4, 5, &[], false),
        ]);
        let graph = Graph::new(&functions, &BTreeSet::new());
        assert_eq!(graph.need(1), 8 + 10 + 20 + 5);
        assert_eq!(graph.circles(1), [2, 3]);
    }

    #[test]
    fn a_call_through_a_register_may_call_what_is_stored() {
        let functions = functions(&[
            (1, 8, &[], true),
            (2, 100, &[], false),
            (3, 200, &[], false),
        ]);
        assert_eq!(Graph::new(&functions, &BTreeSet::new()).need(1), 8);
        assert_eq!(Graph::new(&functions, &BTreeSet::from([2])).need(1), 108);
    }
}
