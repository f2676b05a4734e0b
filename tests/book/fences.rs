//! No block of code escapes verification.

use std::fs;
use std::path::{Path, PathBuf};

use book::expand::{self, Fence};
use running::programs::SECTIONS;

use crate::{PAGES, pattern, problem, report, root};

/// Languages that a fence may have. Anything else would be shown without
/// colors, or is a misspelling.
const LANGUAGES: [&str; 6] = ["rust", "python", "sh", "text", "toml", "yaml"];

/// What would let a Rust block go unverified.
const UNVERIFIED: [&str; 4] =
    ["ignore", "no_run", "compile_fail", "noplayground"];

#[test]
fn every_fence_is_verified() {
    let mut problems = Vec::new();
    let mut count = 0;
    for (path, text) in documents() {
        for fence in expand::fences(&text) {
            count += 1;
            if let Some(what) = fence_problem(&path, &fence) {
                problems.push(problem(&path, fence.line, what));
            }
        }
    }
    assert!(count > 4 * SECTIONS.len(), "the fences were not found");
    report(&problems);
}

fn fence_problem(path: &Path, fence: &Fence) -> Option<String> {
    let language = fence.language();
    if language.is_empty() {
        return Some("the fence has no language".to_owned());
    }
    if !LANGUAGES.contains(&language) {
        return Some(format!("{language:?} is no language of this book"));
    }
    if let Some(tag) = UNVERIFIED.iter().find(|tag| fence.has(tag)) {
        return Some(format!("a block marked {tag} is not verified"));
    }
    let included = fence.text.trim().starts_with("{{#")
        && fence.text.trim().lines().count() == 1;
    let in_book = path.starts_with("src");
    if in_book && matches!(language, "rust" | "python") && !included {
        return Some(format!(
            "{language} reaches a page by one include, nothing else"
        ));
    }
    None
}

/// The command over an output is the one that printed it.
#[test]
fn every_output_stands_under_its_command() {
    let include = pattern(
        r"\{\{#include (?:\.\./)+(listings/\S+/output/\S+\.txt):2:\}\}",
    );
    let mut problems = Vec::new();
    let mut count = 0;
    for page in PAGES.iter() {
        let fences = expand::fences(&page.source);
        let mut command = None;
        for fence in &fences {
            if fence.language() == "sh" {
                command = Some(fence.text.trim());
            }
            if !fence.text.contains("/output/") {
                continue;
            }
            count += 1;
            let Some(shown) = include.captures(&fence.text) else {
                let what = "an output is included from line 2 on (…txt:2:)";
                problems.push(problem(&page.path, fence.line, what));
                continue;
            };
            let Ok(output) = fs::read_to_string(root().join(&shown[1])) else {
                continue; // every_include_resolves reports it
            };
            let recorded = output.lines().next().unwrap_or_default();
            if command != Some(recorded) {
                let what = format!(
                    "is the output of {recorded:?}, but under {:?}",
                    command.unwrap_or("no command")
                );
                problems.push(problem(&page.path, fence.line, what));
            }
        }
    }
    assert!(count >= SECTIONS.len(), "the outputs were not found");
    report(&problems);
}

/// The pages and the documents beside them, with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let beside = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    let mut documents: Vec<_> = beside
        .iter()
        .map(|name| {
            let text = fs::read_to_string(root().join(name))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            (PathBuf::from(name), text)
        })
        .collect();
    let pages = PAGES.iter();
    documents.extend(pages.map(|it| (it.path.clone(), it.source.clone())));
    documents
}
