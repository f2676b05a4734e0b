//! The include directives of the pages, resolved strictly.
//!
//! mdBook renders an empty block for a missing anchor and prints the
//! directive for a missing file, and in both cases its build succeeds. Here
//! each is an error that names the page, the line and what is there instead.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::expand::{Page, line_at};

static DIRECTIVE: LazyLock<Regex> =
    LazyLock::new(|| regex(r"\{\{#\s*(?<kind>\w+)\s*(?<target>[^}]*?)\s*\}\}"));
static ANCHOR: LazyLock<Regex> =
    LazyLock::new(|| regex(r"\bANCHOR:\s*(?<name>[\w-]+)"));
static ANCHOR_END: LazyLock<Regex> =
    LazyLock::new(|| regex(r"\bANCHOR_END:\s*(?<name>[\w-]+)"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant of this module")
}

/// The part of a file that a directive asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// Line numbers as written, for example `2:`.
    Lines(String),
    Anchor(String),
}

/// One `{{#include …}}` or `{{#rustdoc_include …}}`.
#[derive(Clone, Debug)]
pub struct Include {
    /// The page, from the book's root.
    pub page: PathBuf,
    /// Line in the page, counted from 1.
    pub line: usize,
    /// The included file, from the book's root.
    pub file: PathBuf,
    pub part: Part,
}

/// Something wrong at a place in a page or a listing.
#[derive(Clone, Debug)]
pub struct Problem {
    pub file: PathBuf,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// Finds every include of `pages`, and every one that does not resolve.
pub fn check(root: &Path, pages: &[Page]) -> (Vec<Include>, Vec<Problem>) {
    let mut includes = Vec::new();
    let mut problems = Vec::new();
    for page in pages {
        for directive in DIRECTIVE.captures_iter(&page.source) {
            let start = directive.get(0).map_or(0, |whole| whole.start());
            let line = line_at(&page.source, start);
            match &directive["kind"] {
                "include" | "rustdoc_include" => {
                    let include = parse(&page.path, line, &directive["target"]);
                    problems.extend(problem(root, &include));
                    includes.push(include);
                }
                kind => problems.push(Problem {
                    file: page.path.clone(),
                    line,
                    what: format!("unknown directive {{{{#{kind}}}}}"),
                }),
            }
        }
    }
    (includes, problems)
}

fn parse(page: &Path, line: usize, target: &str) -> Include {
    let (file, part) = match target.split_once(':') {
        None => (target, Part::Whole),
        Some((file, part)) => (
            file,
            if part.starts_with(|c: char| c.is_ascii_digit() || c == ':') {
                Part::Lines(part.to_owned())
            } else {
                Part::Anchor(part.to_owned())
            },
        ),
    };
    let folder = page.parent().unwrap_or(Path::new(""));
    Include {
        page: page.to_owned(),
        line,
        file: normal(&folder.join(file)),
        part,
    }
}

/// Resolves `..` by name, so that the result compares with other paths.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

fn problem(root: &Path, include: &Include) -> Option<Problem> {
    let at_page = |what| {
        Some(Problem {
            file: include.page.clone(),
            line: include.line,
            what,
        })
    };
    let file = include.file.display();
    let text = match fs::read_to_string(root.join(&include.file)) {
        Ok(text) => text,
        Err(error) => {
            return at_page(format!("cannot include {file}: {error}"));
        }
    };
    match &include.part {
        Part::Whole => text
            .trim()
            .is_empty()
            .then(|| at_page(format!("{file} is empty")))
            .flatten(),
        Part::Lines(range) => {
            let first = range.split(':').next().unwrap_or_default();
            let first = first.parse().unwrap_or(1);
            let shown = text.lines().skip(first - 1).count();
            (shown == 0)
                .then(|| at_page(format!("{file} has no line {first}")))
                .flatten()
        }
        Part::Anchor(name) => match anchored(&text, name) {
            Ok(body) if body.trim().is_empty() => {
                at_page(format!("anchor {name:?} of {file} is empty"))
            }
            Ok(_) => None,
            Err(what) => at_page(format!("{file} {what}")),
        },
    }
}

/// The lines between an anchor's two marks.
///
/// # Errors
/// A sentence that fits after the file's name, if either mark is missing.
pub fn anchored(text: &str, name: &str) -> Result<String, String> {
    let names = |line: &str, mark: &Regex| {
        mark.captures(line)
            .is_some_and(|mark| &mark["name"] == name)
    };
    let mut lines = text.lines();
    if !lines.any(|line| names(line, &ANCHOR)) {
        let known: Vec<_> = anchors(text).into_iter().map(|a| a.0).collect();
        return Err(format!(
            "has no anchor {name:?}; it has: {}",
            known.join(", ")
        ));
    }
    let mut body = String::new();
    for line in lines {
        if names(line, &ANCHOR_END) {
            return Ok(body);
        }
        if !ANCHOR.is_match(line) && !ANCHOR_END.is_match(line) {
            body.push_str(line);
            body.push('\n');
        }
    }
    Err(format!("opens anchor {name:?} and never ends it"))
}

/// The anchors that a file opens, with the line of each.
pub fn anchors(text: &str) -> Vec<(String, usize)> {
    let numbered = text.lines().enumerate();
    numbered
        .filter_map(|(index, line)| {
            let mark = ANCHOR.captures(line)?;
            Some((mark["name"].to_owned(), index + 1))
        })
        .collect()
}
