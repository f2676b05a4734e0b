//! The book is whole: nothing that a page includes, links or numbers is
//! missing, and nothing lies in the listings that no page shows.

mod built;
mod fences;
mod index;
mod listings;
mod pages;
mod planted;
mod prose;
mod same_code;
mod sections;
mod terms;

use std::convert::Infallible;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use book::expand::{self, Page};
use book::includes::{self, Include, Problem};
use book::inputs;
use regex::Regex;
use running::depends::Depends;
use running::root;
use running::supervise::SUPERVISOR;
use running::verified::Verified;

static PAGES: LazyLock<Vec<Page>> = LazyLock::new(|| {
    expand::pages(root()).unwrap_or_else(|error| panic!("{error:#}"))
});

/// The page with this key.
fn page(key: &str) -> &'static Page {
    let page = PAGES.iter().find(|page| page.key() == key);
    page.unwrap_or_else(|| panic!("no page {key}"))
}

static INCLUDES: LazyLock<(Vec<Include>, Vec<Problem>)> =
    LazyLock::new(|| includes::check(root(), &PAGES));

/// Makes a check of the pages unless it has succeeded since the pages, the
/// listings and the theme last changed.
fn once(name: &str, check: impl FnOnce()) {
    let depends = Depends::default()
        .and("the book", inputs::fingerprint(root()).unwrap());
    let verified = Verified::beside(&SUPERVISOR).unwrap();
    let checked: Result<(), Infallible> = verified.once(name, &depends, || {
        check(); // or panics, and is not remembered
        Ok(())
    });
    match checked {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

/// Fails with all problems at once: mending one by one would take many runs.
fn report<P: Display>(problems: &[P]) {
    let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "\n{}", list.join("\n"));
}

fn problem(
    file: impl Into<PathBuf>,
    line: usize,
    what: impl Into<String>,
) -> Problem {
    Problem {
        file: file.into(),
        line,
        what: what.into(),
    }
}

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

/// Every file under `folder`, as a path from the book's root.
fn files(folder: &Path) -> Vec<PathBuf> {
    let found = walk(&root().join(folder)).into_iter();
    found
        .map(|path| path.strip_prefix(root()).unwrap().to_owned())
        .filter(|path| !path.to_string_lossy().contains("__pycache__"))
        .collect()
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(walk(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}
