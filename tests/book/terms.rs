//! A term is defined on one page, the one that the glossary names.

use book::expand;
use regex::escape;

use crate::{PAGES, pattern, problem, report};

/// A page that defines a term sets it in italics. Every other page links to
/// the definition.
#[test]
fn each_term_is_defined_once() {
    let entry = pattern(
        r"(?m)^\*\*(?<term>[^*]+)\*\*\n: .*\]\((?<page>[\w/]+)\.md[^)]*\)$",
    );
    let fence = pattern(r"(?ms)^```.*?^```$");
    let glossary = PAGES.iter().find(|page| page.key() == "glossary").unwrap();
    let mut problems = Vec::new();
    let mut terms = 0;
    for found in entry.captures_iter(&glossary.source) {
        terms += 1;
        let (term, home) = (&found["term"], &found["page"]);
        // Also several of them, and at the beginning of a sentence.
        let words = escape(term).replace(' ', r"\s+");
        let italic =
            pattern(&format!(r"(?i)(?:^|[^*\w])\*{words}(?:e?s)?\*(?:[^*]|$)"));
        let name = pattern(&format!("(?i){words}"));
        for page in PAGES.iter() {
            // Same length, so that the lines stay the same.
            let prose = fence
                .replace_all(&page.source, |it: &regex::Captures| {
                    it[0].replace('*', " ")
                });
            if page.key() == home {
                if !name.is_match(&prose) {
                    let what = format!("says nothing of {term:?}");
                    problems.push(problem(&page.path, 1, what));
                }
            } else if let Some(found) = italic.find(&prose) {
                let line = expand::line_at(&prose, found.start() + 1);
                let what =
                    format!("defines {term:?}, as {home} does: link to it");
                problems.push(problem(&page.path, line, what));
            }
        }
    }
    assert!(terms > 40, "the terms were not found");
    report(&problems);
}
