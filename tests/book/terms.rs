//! A term is defined on one page, the one that the glossary names.

use book::expand::{self, Page};
use regex::{Captures, escape};

use crate::{PAGES, page, pattern, problem, report};

/// A page that defines a term sets it in italics. Every other page links to
/// the definition.
#[test]
fn each_term_is_defined_once() {
    let entry = pattern(
        r"(?m)^\*\*(?<term>[^*]+)\*\*\n: .*\]\((?<page>[\w/]+)\.md[^)]*\)$",
    );
    let fence = pattern(r"(?ms)^```.*?^```$");
    // Of the same lines, without emphasis in the listings.
    let prose = |page: &Page| {
        let listing = |it: &Captures| it[0].replace('*', " ");
        fence.replace_all(&page.source, listing).into_owned()
    };
    let pages: Vec<(&Page, String)> =
        PAGES.iter().map(|page| (page, prose(page))).collect();
    let mut problems = Vec::new();
    let mut terms = 0;
    for found in entry.captures_iter(&page("glossary").source) {
        terms += 1;
        let (term, home) = (&found["term"], &found["page"]);
        // Also several of them, and at the beginning of a sentence.
        let words = escape(term).replace(' ', r"\s+");
        let italic =
            pattern(&format!(r"(?i)(?:^|[^*\w])\*{words}(?:e?s)?\*(?:[^*]|$)"));
        let name = pattern(&format!("(?i){words}"));
        for (page, prose) in &pages {
            if page.key() == home {
                if !name.is_match(prose) {
                    let what = format!("says nothing of {term:?}");
                    problems.push(problem(&page.path, 1, what));
                }
            } else if let Some(found) = italic.find(prose) {
                let line = expand::line_at(prose, found.start() + 1);
                let what =
                    format!("defines {term:?}, as {home} does: link to it");
                problems.push(problem(&page.path, line, what));
            }
        }
    }
    assert!(terms > 40, "the terms were not found");
    report(&problems);
}
