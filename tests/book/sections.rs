//! Each section has the parts that every section has, in their order.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use book::expand::{self, Page};
use running::programs::SECTIONS;

use crate::{PAGES, files, page, pattern, problem, report, root};

/// What follows the sections.
const APPENDICES: [&str; 5] =
    ["cheat_sheet", "pitfalls", "claims", "beyond", "glossary"];

/// The pages that have a number, in order: the chapter's first page, the
/// sections, and the pages about a subject of a section.
pub fn numbered() -> Vec<(&'static Page, String)> {
    let mut numbered = Vec::new();
    let (mut section, mut subject) = (0, 0);
    for page in PAGES.iter() {
        let key = page.key();
        let number = if key == "chapter" {
            "0".to_owned()
        } else if SECTIONS.contains(&&*key) {
            (section, subject) = (section + 1, 0);
            section.to_string()
        } else if SECTIONS.contains(&&*page.section()) {
            subject += 1;
            format!("{section}.{subject}")
        } else {
            continue;
        };
        numbered.push((page, number));
    }
    numbered
}

/// The twelve in order, each with the pages about its subjects behind it.
#[test]
fn the_twelve_sections_stand_in_order() {
    let keys: Vec<String> = PAGES.iter().map(Page::key).collect();
    let pages = keys.iter().filter(|key| !key.contains('/'));
    let mut order = vec!["introduction", "chapter"];
    order.extend(SECTIONS);
    order.extend(APPENDICES);
    assert_eq!(pages.collect::<Vec<_>>(), order, "src/SUMMARY.md");
    let mut section = String::new();
    for page in PAGES.iter() {
        match page.key().contains('/') {
            true => assert_eq!(
                page.section(),
                section,
                "src/SUMMARY.md: {} stands elsewhere",
                page.path.display()
            ),
            false => section = page.key(),
        }
    }
}

/// The name of a page, with its number, is the same in the summary and in its
/// heading.
#[test]
fn the_summary_has_the_headings() {
    let file = Path::new("src/SUMMARY.md");
    let summary = fs::read_to_string(root().join(file)).unwrap();
    let link = pattern(r"(?m)\[(?<name>[^\]]+)\]\((?<page>[^)]+)\.md\)");
    let heading = pattern(r"(?m)^# (.+)$");
    let numbers = numbered();
    let mut problems = Vec::new();
    for found in link.captures_iter(&summary) {
        let start = found.get(0).unwrap().start();
        let line = expand::line_at(&summary, start);
        let page = page(&found["page"]);
        let title = heading.captures(&page.source);
        let title = title.map_or(String::new(), |it| it[1].to_owned());
        let name = &found["name"];
        if name != title {
            let what = format!("{name:?} has the heading {title:?}");
            problems.push(problem(file, line, what));
        }
        let number = numbers.iter().find(|(it, _)| it.path == page.path);
        let expected = match number {
            Some((_, number)) if number == "0" => continue,
            Some((_, number)) if number.contains('.') => format!("{number} "),
            Some((_, number)) => format!("{number}. "),
            None => continue,
        };
        if !name.starts_with(&expected) {
            let what = format!("{name:?} does not begin with {expected:?}");
            problems.push(problem(file, line, what));
        }
    }
    report(&problems);
}

#[test]
fn every_page_is_in_the_summary() {
    let known: BTreeSet<_> = PAGES.iter().map(|page| &page.path).collect();
    let mut problems = Vec::new();
    for file in files(Path::new("src")) {
        let is_no_page = ["src/SUMMARY.md", "src/404.md"];
        let is_page = !is_no_page.iter().any(|it| file == Path::new(it));
        if is_page && !known.contains(&file) {
            problems.push(problem(file, 1, "is not in src/SUMMARY.md"));
        }
    }
    report(&problems);
}

/// A number of its own, the task, the starter, and a solution to unfold.
#[test]
fn every_exercise_has_the_form_of_the_others() {
    let exercises = pattern(r"(?s)\n## Exercises\n(.*?)\n## Going on\n");
    let form = pattern(concat!(
        r"(?s)^### Exercise (?<number>\d+-\d+): [^\n]+\n\n[^\n#].*?\n\n",
        r"```text\n[^\n]+ --example (?<idea>\w+)_starter\n```\n\n",
        r"```rust,should_panic\n[^\n]+?/(?<starter>\w+)_starter\.rs[^\n]*\n```\n\n",
        r"<details>\n<summary>Solution</summary>\n\n.*?",
        r"```sh\n[^\n]+ --example (?<solution>\w+)_solution\n```\n",
        r".*?\n</details>\n$",
    ));
    let mention = pattern(r"Exercise (\d+-\d+)");
    let mut known = BTreeSet::new();
    let mut problems = Vec::new();
    for (section, stem) in (1..).zip(SECTIONS) {
        let page = page(stem);
        let found = exercises.captures(&page.source);
        let block = found.as_ref().and_then(|found| found.get(1));
        let start = block.map_or(0, |block| block.start());
        let text = block.map_or("", |block| block.as_str());
        let parts = text.split_inclusive("</details>\n");
        let parts = parts.map(|part| part.trim_start());
        for (number, part) in (1..).zip(parts.filter(|it| !it.is_empty())) {
            let expected = format!("{section}-{number}");
            let good = form.captures(part).is_some_and(|found| {
                found["number"] == expected
                    && found["starter"] == found["idea"]
                    && found["solution"] == found["idea"]
            });
            if !good {
                let what = format!("Exercise {expected} has another form");
                let line = expand::line_at(&page.source, start);
                problems.push(problem(&page.path, line, what));
            }
            known.insert(expected);
        }
    }
    assert!(
        known.len() >= 2 * SECTIONS.len(),
        "two a section: {known:?}"
    );
    for page in PAGES.iter() {
        for found in mention.captures_iter(&page.source) {
            if !known.contains(&found[1]) {
                let what = format!("there is no {}", &found[0]);
                let start = found.get(0).unwrap().start();
                let line = expand::line_at(&page.source, start);
                problems.push(problem(&page.path, line, what));
            }
        }
    }
    report(&problems);
}
