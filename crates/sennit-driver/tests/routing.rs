//! The table of routes: by example, and against a model that tries every pattern.

use proptest::collection::vec;
use proptest::prelude::*;
use sennit_driver::routing::{Conflict, Pattern, Table, decoded};

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("a pattern")
}

/// A table of GET routes, whose values are their patterns.
fn table(patterns: &[&'static str]) -> Table<&'static str> {
    let mut table = Table::default();
    for text in patterns {
        table.add(&pattern(text), &["GET"], *text).expect("no conflict");
    }
    table
}

fn found<'a>(table: &Table<&'a str>, method: &str, path: &str) -> Option<&'a str> {
    table.find(method.as_bytes(), path.as_bytes()).and_then(|number| table.get(number)).copied()
}

#[test]
fn the_most_specific_pattern_wins_and_dead_ends_are_left() {
    let table = table(&[
        "/",
        "/users/me",
        "/users/{id:int}",
        "/users/{name}",
        "/users/{name}/posts",
        "/users/me/drafts",
        "/static/{rest:path}",
        "/a/",
        "/café/x y",
    ]);
    for (path, expected) in [
        ("/", Some("/")),
        ("/users/me", Some("/users/me")),
        ("/users/%6De", Some("/users/me")),
        ("/users/17", Some("/users/{id:int}")),
        ("/users/%31", Some("/users/{id:int}")),
        ("/users/17a", Some("/users/{name}")),
        ("/users/\u{0663}", Some("/users/{name}")),
        ("/users/a%2Fb", Some("/users/{name}")),
        ("/users/a/b", None),
        ("/users/me/posts", Some("/users/{name}/posts")),
        ("/users/17/posts", Some("/users/{name}/posts")),
        ("/users/", None),
        ("/users", None),
        ("/users//posts", None),
        ("/static/", Some("/static/{rest:path}")),
        ("/static/a/../b//c", Some("/static/{rest:path}")),
        ("/static", None),
        ("/a/", Some("/a/")),
        ("/a", None),
        ("/./a/", None),
        ("/caf%C3%A9/x%20y", Some("/café/x y")),
        ("", None),
        ("*", None),
    ] {
        assert_eq!(found(&table, "GET", path), expected, "{path}");
    }
}

#[test]
fn a_method_that_is_missing_is_looked_for_further_on() {
    let mut table = Table::default();
    let mut add = |text: &str, methods: &[&str], value| {
        table.add(&pattern(text), methods, value).map(drop).expect("no conflict");
    };
    add("/users/me", &["POST"], 0);
    add("/users/{name}", &["GET", "DELETE"], 1);
    add("/head", &["HEAD"], 2);
    add("/head", &["GET"], 3);
    add("/{path:path}", &[], 4);
    add("*", &["CONNECT"], 5);
    let find = |method: &str, path: &str| table.find(method.as_bytes(), path.as_bytes());
    assert_eq!(find("POST", "/users/me"), Some(0));
    assert_eq!(find("GET", "/users/me"), Some(1));
    assert_eq!(find("HEAD", "/users/me"), Some(1));
    assert_eq!(find("HEAD", "/head"), Some(2));
    // A route for any method takes what nobody else knows, not what somebody else has refused.
    assert_eq!(find("PUT", "/users/me"), None);
    assert_eq!(find("PUT", "/users"), Some(4));
    assert_eq!(find("CONNECT", "example.org:443"), Some(5));
    assert_eq!(find("CONNECT", "/users"), Some(5));
    assert_eq!(find("OPTIONS", "*"), None);
    assert_eq!(table.allowed(b"/users/me"), ["POST", "GET", "DELETE"]);
    assert_eq!(table.allowed(b"*"), ["CONNECT"]);
    assert!(table.allowed(b"/elsewhere").is_empty());
    let methods: Vec<&str> = table.methods().iter().map(|method| &**method).collect();
    assert_eq!(methods, ["POST", "GET", "DELETE", "HEAD", "CONNECT"]);
}

#[test]
fn parameters_are_the_segments_as_sent() {
    let path = b"/a%20b/x/17/c//d";
    let pattern = pattern("/{first}/x/{second:int}/{third:path}");
    let found: Vec<_> = pattern.parameters(path).collect();
    assert_eq!(found, [("first", &b"a%20b"[..]), ("second", b"17"), ("third", b"c//d")]);
}

#[test]
fn two_patterns_for_the_same_requests_are_refused_by_name() {
    for (first, second, methods) in [
        ("/a", "/a", &["GET"][..]),
        ("/users/{id}", "/users/{name}", &["POST", "GET"]),
        ("/{a}/{rest:path}", "/{b}/{other:path}", &["GET"]),
        ("/{a:int}", "/{b:int}", &["GET"]),
        ("/{path:path}", "/{rest:path}", &[]),
        ("*", "*", &["GET"]),
    ] {
        let mut table = Table::default();
        table.add(&pattern(first), &["GET"], ()).expect("the first");
        let conflict = table.add(&pattern(second), methods, ()).expect_err("the second");
        let method = methods.last().map(|_| "GET".into());
        assert_eq!(conflict, Conflict { present: first.into(), added: second.into(), method });
        assert!(table.get(1).is_none());
        assert!(!table.methods().contains(&"POST".into()), "a refused route leaves nothing");
        table.add(&pattern(second), &["PUT"], ()).expect("another method");
    }
}

#[test]
fn patterns_that_make_no_sense_say_why() {
    for (text, fault) in [
        ("users", "must begin with a slash"),
        ("/a?b={c}", "has a ?"),
        ("/a#b", "has a #"),
        ("/a{b}", "a parameter is a whole segment"),
        ("/{a}{b}", "a parameter is a whole segment"),
        ("/{a", "a parameter is a whole segment"),
        ("/{}", "no identifier"),
        ("/{1st}", "no identifier"),
        ("/{a b}", "no identifier"),
        ("/{id:uuid}", "only int and path"),
        ("/{rest:path}/more", "goes on behind {rest:path}"),
        ("/{a}/{a}", "has the parameter \"a\" twice"),
        ("/a%20b", "without percent-escapes"),
    ] {
        let error = Pattern::parse(text).expect_err(text).to_string();
        assert!(error.contains(fault), "{error}");
        assert!(error.contains(&format!("{text:?}")), "{error}");
    }
    assert!(Pattern::parse(&"/a".repeat(64)).is_ok());
    assert!(Pattern::parse(&"/a".repeat(65)).is_err());
}

/// How well a pattern fits a path: its rank at each segment, the smallest wins.
fn fit(pattern: &str, path: &str) -> Option<Vec<u8>> {
    let mut ranks = Vec::new();
    let mut segments = path.strip_prefix('/')?.split('/');
    for part in pattern.strip_prefix('/')?.split('/') {
        if part.ends_with(":path}") {
            segments.next()?;
            ranks.push(3);
            return Some(ranks);
        }
        let segment = decoded(segments.next()?.as_bytes()).into_owned();
        ranks.push(match part {
            "{n:int}" | "{m:int}"
                if !segment.is_empty() && segment.iter().all(u8::is_ascii_digit) =>
            {
                1
            }
            "{n:int}" | "{m:int}" => return None,
            "{a}" | "{b}" if !segment.is_empty() => 2,
            "{a}" | "{b}" => return None,
            literal if literal.as_bytes() == segment => 0,
            _ => return None,
        });
    }
    segments.next().is_none().then_some(ranks)
}

fn parts() -> impl Strategy<Value = String> {
    let inner = prop_oneof![Just("x"), Just("7"), Just(""), Just("{a}"), Just("{n:int}")];
    let last = prop_oneof![Just("y"), Just("{b}"), Just("{m:int}"), Just("{rest:path}"), Just("")];
    (vec(inner, 0..4), last).prop_map(|(parts, last)| {
        let mut names = Vec::new();
        let mut text = String::new();
        for part in parts {
            // A name may stand once only.
            let part = if names.contains(&part) { "x" } else { part };
            names.push(part);
            text += "/";
            text += part;
        }
        text + "/" + last
    })
}

fn paths() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        Just("x"),
        Just("y"),
        Just("7"),
        Just("%37"),
        Just("%78"),
        Just("z%2Fz"),
        Just(""),
        Just("%")
    ];
    vec(segment, 1..6).prop_map(|segments| format!("/{}", segments.join("/")))
}

proptest! {
    #[test]
    fn the_table_finds_what_trying_every_pattern_finds(
        routes in vec((parts(), prop_oneof![Just("GET"), Just("PUT"), Just("HEAD"), Just("")]), 1..12),
        paths in vec(paths(), 1..12),
        method in prop_oneof![Just("GET"), Just("PUT"), Just("HEAD"), Just("POST")],
    ) {
        let mut table = Table::default();
        let mut known: Vec<(String, &str)> = Vec::new();
        for (text, method) in routes {
            let methods = [method];
            let methods = if method.is_empty() { &[][..] } else { &methods[..] };
            if table.add(&pattern(&text), methods, (text.clone(), method)).is_ok() {
                known.push((text, method));
            }
        }
        for path in paths {
            let mut fitting: Vec<_> = known
                .iter()
                .filter_map(|route| Some((fit(&route.0, &path)?, route)))
                .collect();
            fitting.sort();
            let mut expected = None;
            let mut is_refused = false;
            for group in fitting.chunk_by(|one, other| one.0 == other.0) {
                let of = |wanted| group.iter().find(|(_, route)| route.1 == wanted);
                let found = of(method).or_else(|| if method == "HEAD" { of("GET") } else { None });
                let found = found.or_else(|| of("").filter(|_| !is_refused));
                if let Some((_, route)) = found {
                    expected = Some(*route);
                    break;
                }
                is_refused |= group.iter().any(|(_, route)| !route.1.is_empty());
            }
            let number = table.find(method.as_bytes(), path.as_bytes());
            prop_assert_eq!(number.and_then(|number| table.get(number)), expected, "{}", path);
            let mut allowed = table.allowed(path.as_bytes());
            allowed.sort_unstable();
            let mut methods: Vec<_> = fitting.iter().map(|(_, route)| route.1).filter(|m| !m.is_empty()).collect();
            methods.sort_unstable();
            methods.dedup();
            prop_assert_eq!(allowed, methods);
        }
    }

    #[test]
    fn no_pattern_and_no_path_panics(text in ".{0,40}", path in vec(any::<u8>(), 0..60)) {
        if let Ok(pattern) = Pattern::parse(&text) {
            let mut table = Table::default();
            table.add(&pattern, &["GET"], ()).expect("the first");
            if table.find(b"GET", &path).is_some() {
                prop_assert!(pattern.parameters(&path).all(|(name, _)| !name.is_empty()));
            }
        }
    }
}
