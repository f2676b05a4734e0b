//! Pages that can be learned from: their sizes, and the parts of a section.

use book::claims;
use book::expand::{self, Page};
use book::includes::Problem;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use running::programs::SECTIONS;

use crate::{PAGES, page, pattern, problem, report};

/// Pages that may be larger, with the reason.
const LARGER: [(&str, &str); 0] = [];

/// The parts of a section, in order; those with a question mark may be missing.
const PARTS: [&str; 9] = [
    "In Python",
    "In Rust, step by step",
    "What happens",
    "What bites first",
    "Choosing?",
    "Python and Rust differ",
    "Exercises",
    "Going on",
    "Sources",
];

/// What a page may have at most: words of prose, lines to be seen in its
/// fences, listings and claims.
struct Limits {
    words: usize,
    lines: usize,
    listings: usize,
    claims: usize,
}

const FIRST_PAGE: Limits = Limits {
    words: 1500,
    lines: 120,
    listings: 5,
    claims: 0,
};
const SECTION: Limits = Limits {
    words: 1500,
    lines: 250,
    listings: 8,
    claims: 3,
};
const SUBJECT: Limits = Limits {
    words: 2000,
    lines: 300,
    listings: 7,
    claims: 7,
};

/// A page about a subject that has less to say belongs to another one.
const FEWEST_WORDS: usize = 400;

/// Words and lines of code that are read in a minute.
const WORDS_A_MINUTE: usize = 200;
const LINES_A_MINUTE: usize = 50;

/// How much there is on a page, without what is folded.
struct Size {
    words: usize,
    lines: usize,
    listings: usize,
    claims: usize,
}

impl Size {
    fn of(page: &Page) -> Size {
        let folded = pattern(r"(?s)<details>.*?</details>");
        let text = folded.replace_all(&page.expanded, "");
        let mut size = Size {
            words: 0,
            lines: 0,
            listings: text.matches("<figure class=\"listing\"").count(),
            claims: claims::mentions(page),
        };
        for fence in expand::fences(&text) {
            let is_rust = fence.language() == "rust";
            let lines = fence.text.lines();
            // What the eye shows is hidden until it is clicked.
            let hidden = |line: &&str| {
                is_rust && (*line == "#" || line.starts_with("# "))
            };
            size.lines += lines.filter(|line| !hidden(line)).count();
        }
        let mut in_code = false;
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::CodeBlock(_)) => in_code = true,
                Event::End(TagEnd::CodeBlock) => in_code = false,
                Event::Text(text) if !in_code => {
                    size.words += text.split_whitespace().count();
                }
                Event::Code(_) => size.words += 1,
                _ => {}
            }
        }
        size
    }

    fn minutes(&self) -> usize {
        let seconds =
            self.words * 60 / WORDS_A_MINUTE + self.lines * 60 / LINES_A_MINUTE;
        seconds.div_ceil(60)
    }
}

fn of_the_chapter() -> impl Iterator<Item = &'static Page> {
    PAGES.iter().filter(|page| is_in_chapter(&page.section()))
}

#[test]
fn no_page_is_too_long() {
    let mut problems = Vec::new();
    for page in of_the_chapter() {
        let size = Size::of(page);
        println!(
            "{}: {} words, {} lines, {} listings, {} claims, {} minutes",
            page.key(),
            size.words,
            size.lines,
            size.listings,
            size.claims,
            size.minutes()
        );
        let is_subject = page.key().contains('/');
        let limits = match page.key().as_str() {
            "chapter" => FIRST_PAGE,
            key if SECTIONS.contains(&key) => SECTION,
            _ => SUBJECT,
        };
        let counts = [
            (size.words, limits.words, "words of prose"),
            (size.lines, limits.lines, "lines of code"),
            (size.listings, limits.listings, "listings"),
            (size.claims, limits.claims, "claims"),
        ];
        let excepted = LARGER.iter().any(|(key, _)| *key == page.key());
        for (count, most, what) in counts {
            if count > most && !excepted {
                let what = format!("has {count} {what}, {most} at most");
                problems.push(problem(&page.path, 1, what));
            }
        }
        if is_subject && size.words < FEWEST_WORDS {
            let what = format!("has {} words: a part of another", size.words);
            problems.push(problem(&page.path, 1, what));
        }
        problems.extend(wrong_time(page, &size));
    }
    report(&problems);
}

/// The page says how long it takes to read.
fn wrong_time(page: &Page, size: &Size) -> Option<Problem> {
    let said = pattern(r"(?m)Reading time: (\d+) minutes?\b");
    let expected = size.minutes();
    let found = said.captures(&page.source);
    let given = found.as_ref().and_then(|it| it[1].parse().ok());
    (given != Some(expected)).then(|| {
        let line = found
            .and_then(|it| it.get(0))
            .map_or(1, |it| expand::line_at(&page.source, it.start()));
        let what = format!("takes {expected} minutes, and says {given:?}");
        problem(&page.path, line, what)
    })
}

#[test]
fn a_section_has_its_parts() {
    let heading = pattern(r"(?m)^## (.+)$");
    let mut problems = Vec::new();
    for section in SECTIONS {
        let page = page(section);
        let found: Vec<&str> = heading
            .captures_iter(&page.source)
            .map(|it| it.extract::<1>().1[0])
            .collect();
        let is_there = |part: &&str| {
            !part.ends_with('?') || found.contains(&part.trim_end_matches('?'))
        };
        let expected: Vec<&str> = PARTS
            .iter()
            .filter(|part| is_there(part))
            .map(|part| part.trim_end_matches('?'))
            .collect();
        if found != expected {
            let what = format!("has the parts {found:?}, not {expected:?}");
            problems.push(problem(&page.path, 1, what));
        }
        for other in PAGES.iter().filter(|it| it.section() == *section) {
            let link = format!("]({}.md)", other.key());
            if other.path != page.path && !page.source.contains(&link) {
                let what = format!("says nothing of {}", other.path.display());
                problems.push(problem(&page.path, 1, what));
            }
        }
    }
    report(&problems);
}

/// Headings are nested without a gap, for whoever hears the page.
#[test]
fn headings_go_down_by_one() {
    let mut problems = Vec::new();
    for page in of_the_chapter() {
        let mut before = 0;
        for (event, range) in Parser::new(&page.source).into_offset_iter() {
            if let Event::Start(Tag::Heading { level, .. }) = event {
                let level = level as usize;
                if level > before + 1 {
                    let line = expand::line_at(&page.source, range.start);
                    let what = format!(
                        "a heading of level {level} stands under one of \
                         level {before}"
                    );
                    problems.push(problem(&page.path, line, what));
                }
                before = level;
            }
        }
    }
    report(&problems);
}

/// Whether it is the chapter's first page, a section, or below one.
pub fn is_in_chapter(section: &str) -> bool {
    section == "chapter" || SECTIONS.contains(&section)
}
