//! The table of routes: a tree of segments.
//!
//! At each segment of a path the literal is tried first, then digits, then any text, then the rest of the path; a branch
//! that leads nowhere is left again. A node is reached in one way only, so a search looks at each node at most once,
//! whatever path is sent. A route that has the path but not the method is passed by for a less specific one that has
//! both; one that takes any method is found only if no other has the path.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use super::decoded;
use super::pattern::{Pattern, Segment, split};

/// Mixes eight bytes at a time. Whoever writes the patterns chooses what is in the maps, so nobody can fill a bucket.
#[derive(Default)]
struct SegmentHasher(u64);

/// Of the golden ratio, as Knuth advises for multiplying hashes.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

impl SegmentHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for SegmentHasher {
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut whole = [0; 8];
            // A shorter last one is filled with zeros: the length is mixed in as well.
            whole.iter_mut().zip(word).for_each(|(to, from)| *to = *from);
            self.mix(u64::from_le_bytes(whole));
        }
    }

    fn write_usize(&mut self, length: usize) {
        self.mix(length as u64);
    }

    fn finish(&self) -> u64 {
        // The map takes the upper bits for its tags and the lower ones for its places.
        self.0 ^ self.0 >> 32
    }
}

/// What can be reached at the end of a path, or with its rest.
#[derive(Default)]
enum Leaf {
    #[default]
    None,
    /// Methods and their routes.
    Methods(Vec<(Box<[u8]>, usize)>),
    /// One route for any method.
    Any(usize),
}

#[derive(Default)]
struct Node {
    literals: HashMap<Box<[u8]>, Node, BuildHasherDefault<SegmentHasher>>,
    integer: Option<Box<Node>>,
    text: Option<Box<Node>>,
    rest: Leaf,
    end: Leaf,
}

/// Two patterns for the same requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The pattern that was there before.
    pub present: Box<str>,
    /// The pattern that was to be added.
    pub added: Box<str>,
    /// The method that both are for; `None` if one of them takes any.
    pub method: Option<Box<str>>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conflict { present, added, method } = self;
        let method = method.as_deref().unwrap_or("any method");
        write!(to, "the patterns {present:?} and {added:?} match the same paths, both for {method}")
    }
}

impl std::error::Error for Conflict {}

/// Routes, each with what the caller wants to find.
pub struct Table<T> {
    root: Node,
    /// Targets that are no paths.
    no_path: Leaf,
    routes: Vec<(Box<str>, T)>,
    /// Every method that some route has, in the order of arrival.
    methods: Vec<Box<str>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table {
            root: Node::default(),
            no_path: Leaf::None,
            routes: Vec::new(),
            methods: Vec::new(),
        }
    }
}

impl<T> Table<T> {
    /// Adds a route; gives its number, from 0 on. No methods stand for any method. After an error nothing was added.
    pub fn add(
        &mut self,
        pattern: &Pattern,
        methods: &[&str],
        value: T,
    ) -> Result<usize, Conflict> {
        let number = self.routes.len();
        let leaf = match pattern.segments() {
            None => &mut self.no_path,
            Some(segments) => self.root.leaf(segments),
        };
        if let Some((other, method)) = leaf.occupied(methods) {
            let present = self.routes.get(other).map(|(text, _)| text.clone()).unwrap_or_default();
            let added = pattern.text().into();
            return Err(Conflict { present, added, method: method.map(Into::into) });
        }
        leaf.occupy(methods, number);
        for method in methods {
            if !self.methods.iter().any(|known| **known == **method) {
                self.methods.push((*method).into());
            }
        }
        self.routes.push((pattern.text().into(), value));
        Ok(number)
    }

    /// The value of a route.
    #[inline]
    pub fn get(&self, number: usize) -> Option<&T> {
        self.routes.get(number).map(|(_, value)| value)
    }

    /// The value of a route.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.routes.get_mut(number).map(|(_, value)| value)
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.routes.iter().map(|(_, value)| value)
    }

    /// The number of the route for a method and a target's path as sent. GET stands in for HEAD.
    #[inline]
    pub fn find(&self, method: &[u8], path: &[u8]) -> Option<usize> {
        let mut search = Search { method, is_refused: false };
        match path.strip_prefix(b"/") {
            // RFC 9112 section 3.2.3: what CONNECT names is an authority, whatever it looks like.
            Some(path) if method != b"CONNECT" => {
                self.root.find(Some(path), path.contains(&b'%'), &mut search)
            }
            _ => self.no_path.find(&mut search),
        }
    }

    /// The methods of all routes that a path could take, without a repetition.
    pub fn allowed(&self, path: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        match path.strip_prefix(b"/") {
            Some(path) => self.root.collect(Some(path), &mut found),
            None => self.no_path.collect(&mut found),
        }
        // They were methods in UTF-8 when they came.
        found.into_iter().filter_map(|method| std::str::from_utf8(method).ok()).collect()
    }

    /// Every method that some route has.
    pub fn methods(&self) -> &[Box<str>] {
        &self.methods
    }
}

struct Search<'a> {
    method: &'a [u8],
    /// Whether a route has the path, but not the method.
    is_refused: bool,
}

impl Leaf {
    /// The route that stands where one of these methods would, and which method it is.
    fn occupied<'m>(&self, methods: &[&'m str]) -> Option<(usize, Option<&'m str>)> {
        match self {
            Leaf::None => None,
            Leaf::Any(route) => Some((*route, None)),
            Leaf::Methods(present) if methods.is_empty() => {
                present.first().map(|(_, route)| (*route, None))
            }
            Leaf::Methods(present) => methods.iter().find_map(|method| {
                let found = present.iter().find(|(name, _)| **name == *method.as_bytes());
                found.map(|(_, route)| (*route, Some(*method)))
            }),
        }
    }

    fn occupy(&mut self, methods: &[&str], route: usize) {
        if methods.is_empty() {
            *self = Leaf::Any(route);
            return;
        }
        let new = methods.iter().map(|method| (method.as_bytes().into(), route));
        match self {
            Leaf::Methods(present) => present.extend(new),
            _ => *self = Leaf::Methods(new.collect()),
        }
    }

    #[inline]
    fn find(&self, search: &mut Search<'_>) -> Option<usize> {
        match self {
            Leaf::None => None,
            Leaf::Any(route) => (!search.is_refused).then_some(*route),
            Leaf::Methods(present) => {
                let of = |wanted: &[u8]| {
                    present.iter().find(|(method, _)| **method == *wanted).map(|(_, route)| *route)
                };
                let found = of(search.method).or_else(|| match search.method {
                    // RFC 9110 section 9.3.2: HEAD is GET without the content.
                    b"HEAD" => of(b"GET"),
                    _ => None,
                });
                search.is_refused |= found.is_none();
                found
            }
        }
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a [u8]>) {
        let Leaf::Methods(present) = self else { return };
        for (method, _) in present {
            if !found.contains(&&**method) {
                found.push(method);
            }
        }
    }
}

impl Node {
    /// The leaf of a pattern, made if there is none.
    fn leaf(&mut self, segments: &[Segment]) -> &mut Leaf {
        let mut node = self;
        for segment in segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Integer(_) => node.integer.get_or_insert_default(),
                Segment::Text(_) => node.text.get_or_insert_default(),
                // Nothing comes behind it.
                Segment::Rest(_) => return &mut node.rest,
            };
        }
        &mut node.end
    }

    /// The route for what is left of a path; `None` is its end, where not even an empty segment is left.
    fn find(&self, left: Option<&[u8]>, escaped: bool, search: &mut Search<'_>) -> Option<usize> {
        let Some(left) = left else { return self.end.find(search) };
        let (segment, behind) = split(left);
        if let Some(child) = self.literal(segment, escaped)
            && let Some(route) = child.find(behind, escaped, search)
        {
            return Some(route);
        }
        if let Some(child) = &self.integer
            && is_integer(segment)
            && let Some(route) = child.find(behind, escaped, search)
        {
            return Some(route);
        }
        if let Some(child) = &self.text
            && !segment.is_empty()
            && let Some(route) = child.find(behind, escaped, search)
        {
            return Some(route);
        }
        self.rest.find(search)
    }

    /// As [`Node::find`], everywhere where the path leads.
    fn collect<'a>(&'a self, left: Option<&[u8]>, found: &mut Vec<&'a [u8]>) {
        let Some(left) = left else { return self.end.collect(found) };
        let (segment, behind) = split(left);
        let children = [
            self.literal(segment, true),
            self.integer.as_deref().filter(|_| is_integer(segment)),
            self.text.as_deref().filter(|_| !segment.is_empty()),
        ];
        for child in children.into_iter().flatten() {
            child.collect(behind, found);
        }
        self.rest.collect(found);
    }

    #[inline]
    fn literal(&self, segment: &[u8], escaped: bool) -> Option<&Node> {
        if self.literals.is_empty() {
            return None;
        }
        if escaped { self.literals.get(&*decoded(segment)) } else { self.literals.get(segment) }
    }
}

fn is_integer(segment: &[u8]) -> bool {
    let digits = decoded(segment);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}
