//! Patterns of paths: `/users/{name}`, `/items/{id:int}`, `/static/{rest:path}`.
//!
//! A segment is a literal or one whole parameter. `*` by itself is the pattern of targets that are no paths: those of
//! `OPTIONS *` and of CONNECT.

use std::fmt;

/// Segments that a pattern may have: the search goes as deep as patterns do.
const MAX_SEGMENTS: usize = 64;

/// What a segment of a pattern stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text, percent-decoded.
    Literal(Box<[u8]>),
    /// One or more decimal digits.
    Integer(Box<str>),
    /// One segment that is not empty.
    Text(Box<str>),
    /// All that is left, which may be nothing.
    Rest(Box<str>),
}

/// A pattern that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    /// `None`: the pattern of targets that are no paths.
    segments: Option<Vec<Segment>>,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    pattern: Box<str>,
    fault: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "the pattern {:?} {}", self.pattern, self.fault)
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let segments = if text == "*" { Ok(None) } else { read_path(text).map(Some) };
        match segments {
            Ok(segments) => Ok(Pattern { text: text.into(), segments }),
            Err(fault) => Err(PatternError { pattern: text.into(), fault }),
        }
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn segments(&self) -> Option<&[Segment]> {
        self.segments.as_deref()
    }

    /// The parameters of a path that the pattern has matched: names and values as sent.
    pub fn parameters<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let mut rest = path.strip_prefix(b"/");
        self.segments.iter().flatten().filter_map(move |segment| {
            let left = rest.unwrap_or_default();
            let (first, behind) = split(left);
            rest = behind;
            match segment {
                Segment::Literal(_) => None,
                Segment::Integer(name) | Segment::Text(name) => Some((&**name, first)),
                Segment::Rest(name) => Some((&**name, left)),
            }
        })
    }
}

/// The first segment, and what comes behind its slash if there is one.
#[inline]
pub(super) fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|byte| *byte == b'/') {
        Some(slash) => {
            (path.get(..slash).unwrap_or_default(), Some(path.get(slash + 1..).unwrap_or_default()))
        }
        None => (path, None),
    }
}

fn read_path(text: &str) -> Result<Vec<Segment>, String> {
    // The path of what is mounted; by itself it is that of no request.
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Some(path) = text.strip_prefix('/') else {
        return Err("must begin with a slash (or be *, which is no path)".to_owned());
    };
    if let Some(sign) = path.chars().find(|sign| matches!(sign, '?' | '#')) {
        return Err(format!("has a {sign}; a pattern is a path only, request.query has the rest"));
    }
    let pieces: Vec<&str> = path.split('/').collect();
    if pieces.len() > MAX_SEGMENTS {
        return Err(format!("has {} segments, at most {MAX_SEGMENTS}", pieces.len()));
    }
    let mut segments = Vec::with_capacity(pieces.len());
    let mut names: Vec<&str> = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let (segment, name) = read_segment(piece)?;
        if matches!(segment, Segment::Rest(_)) && index + 1 < pieces.len() {
            return Err(format!("goes on behind {piece}, which takes all that is left"));
        }
        if let Some(name) = name {
            if names.contains(&name) {
                return Err(format!("has the parameter {name:?} twice"));
            }
            names.push(name);
        }
        segments.push(segment);
    }
    Ok(segments)
}

fn read_segment(piece: &str) -> Result<(Segment, Option<&str>), String> {
    let inside = piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}'));
    let Some(inside) = inside.filter(|inside| !inside.contains(['{', '}'])) else {
        if piece.contains(['{', '}']) {
            return Err(format!("has {piece:?}; a parameter is a whole segment, such as {{name}}"));
        }
        if super::decoded(piece.as_bytes()) != piece.as_bytes() {
            return Err(format!("has {piece:?}; write it without percent-escapes"));
        }
        return Ok((Segment::Literal(piece.as_bytes().into()), None));
    };
    let (name, kind) =
        inside.split_once(':').map_or((inside, None), |(name, kind)| (name, Some(kind)));
    let is_name = name.chars().all(|sign| sign.is_alphanumeric() || sign == '_')
        && name.chars().next().is_some_and(|sign| !sign.is_numeric());
    if !is_name {
        return Err(format!("has {piece}, whose name is no identifier"));
    }
    let segment = match kind {
        None => Segment::Text(name.into()),
        Some("int") => Segment::Integer(name.into()),
        Some("path") => Segment::Rest(name.into()),
        Some(kind) => {
            return Err(format!("has {piece}: there is no kind {kind:?}, only int and path"));
        }
    };
    Ok((segment, Some(name)))
}
