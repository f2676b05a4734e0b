//! The check of the includes can fail: each fault that it promises to catch
//! is planted here, and must be caught and named.

use std::path::PathBuf;

use book::expand::Page;
use book::includes;

fn page(source: &str) -> Vec<Page> {
    vec![Page {
        path: PathBuf::from("src/planted.md"),
        source: source.to_owned(),
        expanded: String::new(),
    }]
}

fn problems(source: &str) -> String {
    let (_, problems) = includes::check(crate::root(), &page(source));
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

const LISTING: &str = "../listings/killing_process/src/main.rs";

#[test]
fn a_good_include_is_no_problem() {
    let source = format!("{{{{#rustdoc_include {LISTING}:worker}}}}");
    assert_eq!(problems(&source), "");
}

#[test]
fn a_misspelled_anchor_is_named() {
    let source = format!("\n\n{{{{#rustdoc_include {LISTING}:wroker}}}}");
    let found = problems(&source);
    assert!(
        found.starts_with("src/planted.md:3: ")
            && found.contains("has no anchor \"wroker\"; it has: all, main"),
        "{found}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let found = problems("\n{{#include ../listings/no/such.rs:all}}");
    assert!(
        found.starts_with(
            "src/planted.md:2: cannot include listings/no/such.rs"
        ),
        "{found}"
    );
}

#[test]
fn an_unknown_directive_is_named() {
    let found = problems("{{#includes x.rs}}");
    assert!(found.contains("unknown directive"), "{found}");
}
