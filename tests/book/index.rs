//! Whoever looks up a name of Python's is led to a page that has it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;

use book::expand::{self, Page};
use book::includes::Problem;
use regex::Regex;
use running::programs::SECTIONS;

use crate::{INCLUDES, once, page, pattern, problem, report, root};

/// Python's own words, which are no names to look up.
const KEYWORDS: [&str; 4] = ["as", "class", "if", "with"];

/// The left column of a table names things in Python. Each name stands, as
/// code, on the page that the row leads to, or in the script shown there.
#[test]
fn every_name_of_pythons_stands_where_its_row_leads() {
    once("every name of Python's", look_up_names);
}

fn look_up_names() {
    let mut problems = Vec::new();
    let mut names = 0;
    for key in ["introduction", "cheat_sheet"] {
        let page = page(key);
        let file = format!("src/{key}.md");
        let mut rows = 0;
        for (line, cells) in rows_of(page) {
            let Some(place) = cells.iter().find_map(|cell| link(cell)) else {
                let what = "the row leads to no page";
                problems.push(problem(&file, line, what));
                continue;
            };
            rows += 1;
            let there = crate::page(place.trim_end_matches(".md"));
            let known = words_of(there);
            for name in code_in(&cells[0]).flat_map(words) {
                names += 1;
                if !known.contains(&name) {
                    let what = format!(
                        "`{name}` stands neither as code on {} nor in a \
                         script shown there",
                        there.path.display()
                    );
                    problems.push(problem(&file, line, what));
                }
            }
            problems.extend(wrong_script(&file, line, &place, &cells));
        }
        assert!(rows >= SECTIONS.len(), "{file}: the rows were not found");
    }
    assert!(names > 4 * SECTIONS.len(), "the names were not found");
    report(&problems);
}

/// The rows of a page's tables under their heads, with their lines.
fn rows_of(page: &Page) -> Vec<(usize, Vec<String>)> {
    let mut rows = Vec::new();
    let mut in_body = false;
    for (index, line) in page.source.lines().enumerate() {
        let Some(row) = line.strip_prefix("| ") else {
            in_body = line.starts_with("|---");
            continue;
        };
        if in_body {
            let row = row.trim_end().trim_end_matches('|');
            let cells = row.split(" | ").map(|cell| cell.trim().to_owned());
            rows.push((index + 1, cells.collect()));
        }
    }
    rows
}

/// The page that a cell links to.
fn link(cell: &str) -> Option<String> {
    let link = pattern(r"\]\(([\w/]+\.md)(?:#[^)]*)?\)").captures(cell)?;
    Some(link[1].to_owned())
}

fn code_in(text: &str) -> impl Iterator<Item = &str> {
    static CODE: LazyLock<Regex> = LazyLock::new(|| pattern("`([^`\n]+)`"));
    let found = CODE.captures_iter(text);
    found.map(|code| code.extract::<1>().1[0])
}

/// The names in a piece of code. A single letter stands for anything.
fn words(code: &str) -> Vec<String> {
    static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z_]\w+"));
    let found = WORD.find_iter(code).map(|word| word.as_str());
    found
        .filter(|word| !KEYWORDS.contains(word))
        .map(str::to_owned)
        .collect()
}

/// All names that stand on a page as code, outside of blocks, and those of
/// the Python scripts that it shows.
fn words_of(page: &Page) -> BTreeSet<String> {
    let mut prose = String::new();
    let mut in_fence = false;
    for line in page.source.lines() {
        if line.starts_with("```") {
            in_fence = !in_fence;
        } else if !in_fence {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    let mut found: BTreeSet<_> = code_in(&prose).flat_map(words).collect();
    for fence in expand::fences(&page.source) {
        if fence.language() == "python" {
            found.extend(words(&fence.text));
        }
    }
    for include in &INCLUDES.0 {
        let is_script = include.file.extension().is_some_and(|it| it == "py");
        if include.page == page.path && is_script {
            let text = fs::read_to_string(root().join(&include.file)).unwrap();
            found.extend(words(&text));
        }
    }
    found
}

/// A row that names a script names its section's.
fn wrong_script(
    file: &str,
    line: usize,
    place: &str,
    cells: &[String],
) -> Option<Problem> {
    let script = cells.last()?.strip_suffix(".py`")?.strip_prefix('`')?;
    (format!("{script}.md") != place).then(|| {
        let what = format!("{script}.py is not the script of {place}");
        problem(file, line, what)
    })
}
