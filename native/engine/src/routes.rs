//! Finds the route that a framework would have chosen, at a cost that does not grow with their number.
//!
//! Frameworks try their routes one after the other; the first whose path and method fit wins. [`RouteTable`] gives the
//! same answer: literal paths from a papaya map, which is asked first, templates from a tree of segments. A literal that
//! an earlier template takes away is not in the map, so that a hit there needs no second look. Hashes need no secret:
//! only the application puts paths in.

use std::sync::{PoisonError, RwLock};

use http::Method;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::pattern::{Convertor, Pattern, Rest, Segment, MAX_PARAMS};

/// Where the parameters of a template are in the path that was looked up: byte ranges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Captures {
    ranges: [(u32, u32); MAX_PARAMS],
    length: usize,
}

impl Captures {
    /// The text of the parameter at `index`, from left to right.
    pub fn get<'a>(&self, path: &'a str, index: usize) -> Option<&'a str> {
        let (start, end) = *self.ranges[..self.length].get(index)?;
        path.get(start as usize..end as usize)
    }

    fn push(&mut self, start: usize, end: usize) {
        // Paths are shorter than the longest request head, and a pattern has at most this many parameters.
        if let Some(range) = self.ranges.get_mut(self.length) {
            *range = (start as u32, end as u32);
            self.length += 1;
        }
    }

    fn pop(&mut self) {
        self.length -= 1;
    }
}

/// A route as it is stored.
#[derive(Debug, Clone)]
struct Entry<T> {
    order: usize,
    /// None takes every method.
    methods: Option<Vec<Method>>,
    target: T,
}

impl<T> Entry<T> {
    fn takes(&self, method: &Method) -> bool {
        self.methods
            .as_ref()
            .is_none_or(|methods| methods.contains(method))
    }
}

#[derive(Debug)]
struct Node<T> {
    literals: FxHashMap<Box<str>, Node<T>>,
    params: Vec<(Convertor, Node<T>)>,
    ends: Vec<Entry<T>>,
    tails: Vec<Entry<T>>,
    unknown: Vec<Entry<T>>,
    /// The earliest route here or below; later branches need not be looked at.
    first: usize,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            literals: FxHashMap::default(),
            params: Vec::new(),
            ends: Vec::new(),
            tails: Vec::new(),
            unknown: Vec::new(),
            first: usize::MAX,
        }
    }
}

/// What a lookup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// What the route was added with.
    pub target: T,
    /// Where its parameters are.
    pub captures: Captures,
}

/// The routes of one application, in its order.
#[derive(Debug)]
pub struct RouteTable<T> {
    literals: papaya::HashMap<Box<str>, Vec<Entry<T>>, FxBuildHasher>,
    templates: RwLock<Tree<T>>,
}

#[derive(Debug)]
struct Tree<T> {
    root: Node<T>,
    /// How many routes have been added.
    added: usize,
}

impl<T: Clone + Send + Sync + 'static> RouteTable<T> {
    /// An empty table with room for this many literal paths.
    pub fn with_capacity(literals: usize) -> Self {
        Self {
            literals: papaya::HashMap::with_capacity_and_hasher(literals, FxBuildHasher),
            templates: RwLock::new(Tree {
                root: Node::default(),
                added: 0,
            }),
        }
    }

    /// Adds a route behind all others. `methods`: none takes every method.
    pub fn add(&self, pattern: &Pattern, methods: Option<Vec<Method>>, target: T) {
        let mut tree = self
            .templates
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let order = tree.added;
        tree.added += 1;
        let entry = Entry {
            order,
            methods,
            target,
        };
        let Some(path) = pattern.literal() else {
            return tree.root.insert(&pattern.segments, pattern.rest, entry);
        };
        if let Some(entry) = tree.what_is_left(entry, &path) {
            self.literals.pin().update_or_insert_with(
                path.into(),
                |known| known.iter().cloned().chain([entry.clone()]).collect(),
                || vec![entry.clone()],
            );
        }
    }

    /// The first route that takes this method and this (decoded) path.
    pub fn find(&self, method: &Method, path: &str) -> Option<Found<T>> {
        if let Some(entries) = self.literals.pin().get(path) {
            if let Some(entry) = entries.iter().find(|entry| entry.takes(method)) {
                return Some(Found {
                    target: entry.target.clone(),
                    captures: Captures::default(),
                });
            }
        }
        let tree = self
            .templates
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        tree.find(method, path).map(|(entry, captures)| Found {
            target: entry.target.clone(),
            captures,
        })
    }

    /// Routes added so far, also those that can never be reached.
    pub fn len(&self) -> usize {
        self.templates
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .added
    }

    /// Whether no route was added.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Clone> Tree<T> {
    fn find(&self, method: &Method, path: &str) -> Option<(&Entry<T>, Captures)> {
        if self.root.first == usize::MAX || !path.starts_with('/') {
            return None;
        }
        let mut search = Search {
            path,
            method,
            found: None,
            captures: Captures::default(),
        };
        self.root.search(&mut search, 0);
        search.found
    }

    /// The methods of a new literal route that no earlier template takes away. A literal without a list of methods that
    /// an earlier template takes in part is looked up in the tree.
    fn what_is_left(&mut self, mut entry: Entry<T>, path: &str) -> Option<Entry<T>> {
        match &mut entry.methods {
            Some(methods) => {
                methods.retain(|method| self.find(method, path).is_none());
                (!methods.is_empty()).then_some(entry)
            }
            None if self.root.first == usize::MAX => Some(entry),
            None => {
                let segments: Vec<_> = path[1..]
                    .split('/')
                    .map(|segment| Segment::Literal(segment.into()))
                    .collect();
                self.root.insert(&segments, Rest::End, entry);
                None
            }
        }
    }
}

struct Search<'a, 'n, T> {
    path: &'a str,
    method: &'a Method,
    found: Option<(&'n Entry<T>, Captures)>,
    captures: Captures,
}

impl<'n, T> Search<'_, 'n, T> {
    fn best(&self) -> usize {
        self.found.map_or(usize::MAX, |(entry, _)| entry.order)
    }

    /// Entries are in their order, so the first that fits is the best of its list.
    fn offer(&mut self, entries: &'n [Entry<T>]) {
        if let Some(entry) = entries.iter().find(|entry| entry.takes(self.method)) {
            if entry.order < self.best() {
                self.found = Some((entry, self.captures));
            }
        }
    }
}

impl<T> Node<T> {
    fn insert(&mut self, segments: &[Segment], rest: Rest, entry: Entry<T>) {
        self.first = self.first.min(entry.order);
        let Some((segment, further)) = segments.split_first() else {
            match rest {
                Rest::End => self.ends.push(entry),
                Rest::Tail => self.tails.push(entry),
                Rest::Unknown => self.unknown.push(entry),
            }
            return;
        };
        let child = match segment {
            Segment::Literal(text) => self.literals.entry(text.clone()).or_default(),
            Segment::Param(convertor) => {
                let known = self.params.iter().position(|(known, _)| known == convertor);
                let position = known.unwrap_or_else(|| {
                    self.params.push((*convertor, Node::default()));
                    self.params.len() - 1
                });
                &mut self.params[position].1
            }
        };
        child.insert(further, rest, entry);
    }

    /// Looks at this node, whose segments end at `at`: at the path's end, or at a slash.
    fn search<'n>(&'n self, search: &mut Search<'_, 'n, T>, at: usize) {
        if self.first >= search.best() {
            return;
        }
        search.offer(&self.unknown);
        if at >= search.path.len() {
            search.offer(&self.ends);
            return;
        }
        let start = at + 1;
        let rest = &search.path[start..];
        let end = start + rest.find('/').unwrap_or(rest.len());
        if !self.tails.is_empty() {
            search.captures.push(start, search.path.len());
            search.offer(&self.tails);
            search.captures.pop();
        }
        let segment = &search.path[start..end];
        if let Some(child) = self.literals.get(segment) {
            child.search(search, end);
        }
        for (convertor, child) in &self.params {
            if convertor.accepts(segment) {
                search.captures.push(start, end);
                child.search(search, end);
                search.captures.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &Pattern, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else {
            return false;
        };
        let given: Vec<_> = path.split('/').collect();
        let wanted = pattern.segments.len();
        let long_enough = match pattern.rest {
            Rest::End => given.len() == wanted,
            Rest::Tail => given.len() > wanted,
            Rest::Unknown => given.len() >= wanted,
        };
        long_enough
            && pattern
                .segments
                .iter()
                .zip(&given)
                .all(|(segment, given)| match segment {
                    Segment::Literal(text) => **text == **given,
                    Segment::Param(convertor) => convertor.accepts(given),
                })
    }

    /// Numbers that look random and are the same in every run.
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (self.0 >> 33) as usize % limit
        }

        fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
            of[self.below(of.len())]
        }
    }

    #[test]
    fn it_finds_what_trying_one_after_the_other_finds() {
        const PIECES: &[&str] = &[
            "a",
            "b",
            "7",
            "",
            "{x}",
            "{x:int}",
            "{x:float}",
            "{x:path}",
            "v{x}",
            "{x:odd}",
        ];
        let mut draw = Draw(1);
        let mut found_any = 0;
        for _ in 0..3000 {
            let table = RouteTable::with_capacity(4);
            let mut routes = Vec::new();
            for number in 0..1 + draw.below(8) {
                let path: String = (0..1 + draw.below(3))
                    .map(|_| format!("/{}", draw.one(PIECES)))
                    .collect();
                let pattern = Pattern::parse(&path).unwrap();
                let methods = match draw.below(4) {
                    0 => None,
                    1 => Some(vec![Method::GET, Method::POST]),
                    2 => Some(vec![Method::POST]),
                    _ => Some(vec![Method::GET]),
                };
                table.add(&pattern, methods.clone(), number);
                routes.push((pattern, methods));
            }
            for _ in 0..12 {
                let path: String = (0..1 + draw.below(3))
                    .map(|_| format!("/{}", draw.one(&["a", "b", "7", "1.5", "", "v1", "zz"])))
                    .collect();
                let method = if draw.below(2) == 0 {
                    Method::GET
                } else {
                    Method::POST
                };
                let expected = routes.iter().position(|(pattern, methods)| {
                    fits(pattern, &path)
                        && methods
                            .as_ref()
                            .is_none_or(|methods| methods.contains(&method))
                });
                let found = table.find(&method, &path).map(|found| found.target);
                found_any += usize::from(found.is_some());
                assert_eq!(found, expected, "{method} {path} in {routes:#?}");
            }
        }
        assert!(found_any > 5000);
    }

    #[test]
    fn captures_are_the_text_of_the_parameters() {
        let table = RouteTable::with_capacity(0);
        table.add(
            &Pattern::parse("/u/{id:int}/f/{rest:path}").unwrap(),
            None,
            "files",
        );
        table.add(&Pattern::parse("/u/{id}").unwrap(), None, "user");
        let text = |path: &str| {
            let found = table.find(&Method::GET, path).unwrap();
            let part = |index| found.captures.get(path, index).map(str::to_owned);
            (found.target, part(0), part(1), part(2))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(text("/u/7/f/a/b"), ("files", some("7"), some("a/b"), None));
        assert_eq!(text("/u/7/f/"), ("files", some("7"), some(""), None));
        assert_eq!(text("/u/ü x"), ("user", some("ü x"), None, None));
        assert!(table.find(&Method::GET, "/u/x/f/a").is_none());
        assert!(table.find(&Method::GET, "u").is_none());
        assert!(table.find(&Method::GET, "").is_none());
    }

    #[test]
    fn routes_may_be_added_while_others_are_looked_up() {
        let table = RouteTable::with_capacity(0);
        std::thread::scope(|scope| {
            let adding = scope.spawn(|| {
                for number in 0..2000 {
                    let path = format!("/r/{number}");
                    table.add(
                        &Pattern::parse(&path).unwrap(),
                        Some(vec![Method::GET]),
                        number,
                    );
                }
            });
            while !adding.is_finished() {
                let known = table.len();
                if let Some(last) = known.checked_sub(2) {
                    let path = format!("/r/{last}");
                    assert_eq!(table.find(&Method::GET, &path).unwrap().target, last);
                }
            }
        });
        assert!(!table.is_empty());
    }
}
