//! The rules of the emergency path, checked on the call graph

use super::program::{Function, Program};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a path through a program may do.
#[derive(Debug)]
pub struct Rules<'a> {
    /// Calls that leave the path, as caller and callee. Each must exist exactly once.
    pub not_taken: &'a [(&'a str, &'a str)],
    /// Parts of names, type parameters included, that mark a function of the normal path.
    pub normal: &'a [&'a str],
    /// Parts of names that mark a function that panics.
    pub panics: &'a [&'a str],
    /// Numbers of the system calls that are allowed.
    pub system_calls: &'a [u32],
    /// Async functions whose names begin so may have one call of a panic and one trap each: the
    /// compiler emits these for a future that is polled after completion, and for a state that
    /// cannot occur. The caller proves that each is polled once.
    pub polled_once: &'a [&'a str],
    /// Functions that may have a trap, because it is behind a call that does not return.
    pub may_trap: &'a [&'a str],
    /// Bytes of stack, from the program's first function on.
    pub stack: u32,
}

/// What was found about the path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Number of functions on the path.
    pub functions: usize,
    /// Bytes of code of these.
    pub code: u32,
    /// Deepest stack, in bytes.
    pub stack: u32,
    /// The chain of calls that needs it.
    pub deepest: Vec<String>,
    /// Each system call, with the functions that make it.
    pub system_calls: BTreeMap<u32, BTreeSet<String>>,
    /// Async functions that have the one panic that they may have.
    pub excused: BTreeSet<String>,
    /// One line for each rule that is broken.
    pub broken: Vec<String>,
}

impl Rules<'_> {
    fn is_polled_once(&self, function: &Function) -> bool {
        let name = function.name();
        name.ends_with("::{closure#0}")
            && self.polled_once.iter().any(|part| name.starts_with(part))
    }
}

/// Checks everything that is reached from `entry`.
pub fn check(program: &Program, entry: u32, rules: &Rules<'_>) -> Findings {
    Path::new(program, entry, rules).findings()
}

/// The search from the entry, and its result.
struct Path<'a> {
    program: &'a Program,
    rules: &'a Rules<'a>,
    entry: u32,
    reached: BTreeMap<u32, u32>,
    excused: BTreeSet<String>,
    broken: Vec<String>,
}

impl<'a> Path<'a> {
    fn new(program: &'a Program, entry: u32, rules: &'a Rules<'a>) -> Self {
        let mut path = Self {
            program,
            rules,
            entry,
            reached: BTreeMap::new(),
            excused: BTreeSet::new(),
            broken: Vec::new(),
        };
        path.walk();
        path
    }

    /// Breadth first, so that the way that is printed for a violation is a shortest one.
    fn walk(&mut self) {
        let mut left_out = vec![0; self.rules.not_taken.len()];
        let mut open = VecDeque::from([(self.entry, self.entry)]);
        while let Some((address, from)) = open.pop_front() {
            if !self.program.contains_key(&address) || self.reached.contains_key(&address) {
                continue;
            }
            self.reached.insert(address, from);
            if self.program[&address].has_all(self.rules.panics).is_some() {
                // Its callers are reported; what it calls itself does not matter.
                continue;
            }
            for to in self.program[&address].calls.keys() {
                match self.not_taken(address, *to) {
                    Some(index) => left_out[index] += 1,
                    None => open.push_back((*to, address)),
                }
            }
        }
        for ((by, of), times) in self.rules.not_taken.iter().zip(left_out) {
            if times != 1 {
                self.broken.push(format!(
                    "the call of `{of}` in `{by}`, which leaves the path, was found {times} times instead of once; \
                     neither may be inlined"
                ));
            }
        }
    }

    /// The index of this call among those that leave the path.
    fn not_taken(&self, from: u32, to: u32) -> Option<usize> {
        let (from, to) = (self.program.get(&from)?, self.program.get(&to)?);
        let calls = self.rules.not_taken.iter();
        calls
            .clone()
            .position(|(by, of)| from.is_named(by) && to.is_named(of))
    }

    fn findings(mut self) -> Findings {
        let mut system_calls: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
        let mut code = 0;
        let reached: Vec<u32> = self.reached.keys().copied().collect();
        for address in &reached {
            let function = &self.program[address];
            code += function.size;
            self.check_function(*address, function);
            for number in function.system_calls.iter().flatten() {
                system_calls
                    .entry(*number)
                    .or_default()
                    .extend(self.callers(*address));
            }
        }
        let order = self.order();
        let (stack, deepest) = self.deepest(&order);
        if stack > self.rules.stack {
            self.broken.push(format!(
                "the path needs {stack} bytes of stack, and {} are its budget; deepest: {}",
                self.rules.stack,
                deepest.join(", ")
            ));
        }
        Findings {
            functions: reached.len(),
            code,
            stack,
            deepest,
            system_calls,
            excused: self.excused,
            broken: self.broken,
        }
    }

    /// Checks the rules that concern one function.
    fn check_function(&mut self, address: u32, function: &Function) {
        let rules = self.rules;
        let mut broken = Vec::new();
        if let Some(part) = function.has_all(rules.normal) {
            broken.push(format!("belongs to the normal path ({part})"));
        }
        if function.has_all(rules.panics).is_some() {
            self.check_panic(address, function);
            return;
        }
        for number in &function.system_calls {
            match number {
                Some(number) if rules.system_calls.contains(number) => {}
                Some(number) => broken.push(format!("makes system call {number}")),
                None => broken.push("makes a system call whose number is not a constant".into()),
            }
        }
        for place in &function.unknown {
            broken.push(format!(
                "has at {place:#x} a branch or call whose target is not known"
            ));
        }
        let allowed = usize::from(rules.is_polled_once(function));
        for place in function.traps.iter().skip(allowed) {
            if !rules.may_trap.iter().any(|name| function.is_named(name)) {
                broken.push(format!("has at {place:#x} an instruction that traps"));
            }
        }
        for what in broken {
            let line = format!("`{}` {what}; way: {}", function.name(), self.way(address));
            self.broken.push(line);
        }
    }

    /// Reports the callers of a function that panics.
    fn check_panic(&mut self, address: u32, function: &Function) {
        let callers: Vec<u32> = self
            .reached
            .keys()
            .copied()
            .filter(|caller| self.program[caller].calls.contains_key(&address))
            .collect();
        for caller in callers {
            let function_of = &self.program[&caller];
            let sites = function_of.calls[&address];
            if sites == 1 && self.rules.is_polled_once(function_of) {
                self.excused.insert(function_of.name());
                continue;
            }
            let line = format!(
                "`{}` can panic, by `{}`; way: {}",
                self.program[&caller].name(),
                function.name(),
                self.way(caller)
            );
            self.broken.push(line);
        }
    }

    /// The chain of callers of `address`, from the entry, without itself.
    fn way(&self, address: u32) -> String {
        let mut names = Vec::new();
        let mut at = address;
        while at != self.entry && names.len() <= self.reached.len() {
            at = self.reached[&at];
            names.push(self.program[&at].name());
        }
        names.reverse();
        names.join(" > ")
    }

    /// Names of the functions on the path that call `callee`.
    fn callers(&self, callee: u32) -> BTreeSet<String> {
        self.reached
            .keys()
            .map(|address| &self.program[address])
            .filter(|function| function.calls.contains_key(&callee))
            .map(Function::name)
            .collect()
    }

    /// The functions in topological order, callees first. A recursion is reported and cut at one
    /// call.
    fn order(&mut self) -> Vec<u32> {
        let mut order = Vec::new();
        let mut state: BTreeMap<u32, bool> = BTreeMap::new();
        let mut stack = vec![(self.entry, false)];
        while let Some((address, done)) = stack.pop() {
            if done {
                state.insert(address, true);
                order.push(address);
                continue;
            }
            if state.contains_key(&address) {
                continue;
            }
            state.insert(address, false);
            stack.push((address, true));
            for to in self.calls(address) {
                match state.get(&to) {
                    None => stack.push((to, false)),
                    Some(true) => {}
                    Some(false) => self.broken.push(format!(
                        "`{}` calls `{}`, which is among its callers: a recursion; way: {}",
                        self.program[&address].name(),
                        self.program[&to].name(),
                        self.way(address)
                    )),
                }
            }
        }
        order
    }

    fn calls(&self, address: u32) -> Vec<u32> {
        let calls = self.program[&address].calls.keys().copied();
        calls
            .filter(|to| self.reached.contains_key(to) && self.not_taken(address, *to).is_none())
            .collect()
    }

    /// The deepest stack, and the chain of calls that needs it.
    fn deepest(&self, order: &[u32]) -> (u32, Vec<String>) {
        let mut needs: BTreeMap<u32, (u32, Option<u32>)> = BTreeMap::new();
        for address in order {
            let beyond = self
                .calls(*address)
                .into_iter()
                .filter_map(|to| Some((needs.get(&to)?.0, to)))
                .max();
            let own = self.program[address].frame;
            needs.insert(
                *address,
                (own + beyond.map_or(0, |b| b.0), beyond.map(|b| b.1)),
            );
        }
        let mut chain = Vec::new();
        let mut next = Some(self.entry);
        while let Some(address) = next {
            let function = &self.program[&address];
            if function.frame > 0 {
                chain.push(format!("{} ({})", function.name(), function.frame));
            }
            next = needs.get(&address).and_then(|need| need.1);
        }
        (needs.get(&self.entry).map_or(0, |need| need.0), chain)
    }
}

impl Function {
    /// The first of its names, without the arguments of generics.
    pub fn name(&self) -> String {
        self.names
            .first()
            .map_or_else(String::new, |name| build_elf::names::short(name))
    }

    fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// One of `parts`, if each of the function's names contains one of them. A function with a name
    /// of the emergency path belongs to that path, even if an identical one of the normal path was
    /// merged with it.
    fn has_all(&self, parts: &[&str]) -> Option<String> {
        let in_name = |name: &String| parts.iter().find(|part| name.contains(**part));
        let found: Option<Vec<&&str>> = self.names.iter().map(in_name).collect();
        found?.first().map(|part| part.to_string())
    }
}

#[cfg(test)]
mod tests;
