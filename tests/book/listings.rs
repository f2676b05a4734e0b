//! Pages and listings belong together: what is shown exists, what exists is
//! shown, and whoever names it names it right.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use book::expand::{self, Page};
use book::includes::{self, Include, Part};
use running::programs::{FIRST_PAGE, PACKAGES, SECTIONS};

use crate::sections::numbered;
use crate::{INCLUDES, PAGES, files, page, pattern, problem, report, root};

#[test]
fn every_include_resolves() {
    assert!(
        INCLUDES.0.len() > SECTIONS.len(),
        "the includes were not found"
    );
    report(&INCLUDES.1);
}

/// No listing, anchor, twin or output that no page shows.
#[test]
fn every_listing_is_shown() {
    let mut shown: HashMap<&Path, Vec<&Include>> = HashMap::new();
    for include in &INCLUDES.0 {
        shown.entry(&include.file).or_default().push(include);
    }
    let mut problems = Vec::new();
    for package in PACKAGES {
        let folder = Path::new("listings").join(package);
        let page = match package {
            FIRST_PAGE => PathBuf::from("src/chapter.md"),
            section => Path::new("src").join(section).with_extension("md"),
        };
        let is_there = |include: &&Include| {
            include.page == page
                || include.page.starts_with(page.with_extension(""))
        };
        for file in files(&folder) {
            let inside = file.strip_prefix(&folder).unwrap();
            // Cargo's, and what tests/breaks.rs and tests/timelines.rs read.
            let is_edit = ["breaks", "trials"].iter().any(|edits| {
                inside.starts_with(edits)
                    || inside.starts_with(Path::new("timelines").join(edits))
            });
            if inside == Path::new("Cargo.toml") || is_edit {
                continue;
            }
            if !is_expected(package, inside) {
                let what = "has no place in a section's folder";
                problems.push(problem(file, 1, what));
                continue;
            }
            // The page shows the figure that is made by this choice.
            let is_choice = inside.starts_with("timelines")
                && inside.extension().is_some_and(|it| it == "toml");
            let by = match is_choice {
                true => file.with_extension("svg"),
                false => file.clone(),
            };
            let Some(includes) = shown.get(by.as_path()) else {
                problems.push(problem(file, 1, "is shown on no page"));
                continue;
            };
            if !includes.iter().any(is_there) {
                let page = page.display();
                let what = format!("is not shown on {page} or its pages");
                problems.push(problem(&file, 1, what));
            }
            let text = fs::read_to_string(root().join(&file)).unwrap();
            for (anchor, line) in includes::anchors(&text) {
                let part = Part::Anchor(anchor.clone());
                if anchor != "all"
                    && !includes.iter().any(|include| include.part == part)
                {
                    let what = format!("anchor {anchor:?} is shown nowhere");
                    problems.push(problem(&file, line, what));
                }
            }
        }
    }
    report(&problems);
}

fn is_expected(section: &str, file: &Path) -> bool {
    let folder = file.parent().and_then(Path::to_str).unwrap_or_default();
    let ending = file.extension().and_then(|it| it.to_str());
    match (folder, ending.unwrap_or_default()) {
        ("", "py") => file.file_stem().is_some_and(|stem| stem == section),
        ("timelines", "toml" | "svg") => true,
        ("src" | "src/bin" | "examples", "rs") => true,
        ("output", "txt") => true,
        _ => false,
    }
}

/// An output without its program is left over from a listing that is gone.
#[test]
fn every_output_has_its_program() {
    let mut problems = Vec::new();
    for package in PACKAGES {
        let folder = Path::new("listings").join(package);
        for file in files(&folder.join("output")) {
            let stem = file.file_stem().unwrap().to_string_lossy();
            let source = if stem == package {
                folder.join("src/main.rs")
            } else if stem.ends_with(".py") {
                folder.join(&*stem)
            } else {
                folder.join("src/bin").join(format!("{stem}.rs"))
            };
            if !root().join(&source).is_file() {
                let what = format!("there is no {}", source.display());
                problems.push(problem(file, 1, what));
            }
        }
    }
    report(&problems);
}

/// Listings are numbered in the order of the page, and a caption names the
/// file that stands under it.
#[test]
fn every_listing_has_its_number_and_name() {
    let figure = pattern(
        r#"(?s)<figure class="listing" id="(?<id>[^"]*)">\n<figcaption>(?<caption>.*?)</figcaption>(?<body>.*?)</figure>"#,
    );
    let caption = pattern(
        r##"^<a href="#(?<id>[^"]+)">Listing (?<page>[\d.]+)-(?<number>\d+)</a>: .+ · <code>(?<file>[^<]+)</code>$"##,
    );
    let file = pattern(r"\{\{#\w+ (?:\.\./)+(?<file>[^:}]+)");
    let mut problems = Vec::new();
    for (page, page_number) in numbered() {
        let mut number = 0;
        for found in figure.captures_iter(&page.source) {
            number += 1;
            let start = found.get(0).unwrap().start();
            let line = expand::line_at(&page.source, start);
            let mut wrong = |what: String| {
                problems.push(problem(&page.path, line, what));
            };
            let Some(named) = caption.captures(&found["caption"]) else {
                wrong("the caption has not the form of the others".to_owned());
                continue;
            };
            let expected = format!("{page_number}-{number}");
            let given = format!("{}-{}", &named["page"], &named["number"]);
            if given != expected {
                wrong(format!("is Listing {expected}, not {given}"));
            }
            let shown = file
                .captures(&found["body"])
                .map(|file| PathBuf::from(&file["file"]));
            if shown.as_deref() != Some(Path::new(&named["file"])) {
                wrong(format!("the caption names {}", &named["file"]));
            }
            let stem = Path::new(&named["file"]).file_stem().unwrap();
            let stem = match stem.to_string_lossy() {
                main if main == "main" => page.section().into(),
                other => other,
            };
            let id = format!("listing-{stem}");
            if found["id"] != id || named["id"] != id {
                wrong(format!("the figure's id and link should be {id}"));
            }
        }
        if number == 0 && SECTIONS.contains(&&*page.key()) {
            problems.push(problem(&page.path, 1, "shows no listing"));
        }
    }
    report(&problems);
}

/// Whoever names a listing links to it, so that its number can be checked.
#[test]
fn every_mention_of_a_listing_leads_to_it() {
    let caption =
        pattern(r##"<a href="#(listing-\w+)">Listing ([\d.]+-\d+)</a>"##);
    let known: HashMap<&str, String> = PAGES
        .iter()
        .flat_map(|page| {
            caption.captures_iter(&page.source).map(|found| {
                let (_, [id, number]) = found.extract();
                (number, format!("{}.md#{id}", page.key()))
            })
        })
        .collect();
    let mention = pattern(
        r"Listing (?<number>[\d.]+-\d+)(?:\]\((?<link>[^)]+)\)|(?<caption></a>))?",
    );
    let mut problems = Vec::new();
    for page in PAGES.iter() {
        for found in mention.captures_iter(&page.source) {
            let number = &found["number"];
            let link = found.name("link").map(|link| match link.as_str() {
                here if here.starts_with('#') => {
                    format!("{}.md{here}", page.key())
                }
                there => from_src(page, there),
            });
            let what = match (known.get(number), link) {
                (None, _) => format!("there is no Listing {number}"),
                (Some(_), None) if found.name("caption").is_some() => continue,
                (Some(place), link) if link.as_ref() != Some(place) => {
                    format!("Listing {number} needs a link to {place}")
                }
                (Some(_), _) => continue,
            };
            let start = found.get(0).unwrap().start();
            let line = expand::line_at(&page.source, start);
            problems.push(problem(&page.path, line, what));
        }
    }
    report(&problems);
}

/// Where a link of a page leads, from the folder of all pages.
fn from_src(page: &Page, link: &str) -> String {
    let key = page.key();
    let mut folders: Vec<&str> = key.split('/').collect();
    folders.pop();
    for part in link.split('/') {
        match part {
            ".." => drop(folders.pop()),
            part => folders.push(part),
        }
    }
    folders.join("/")
}

/// The pieces of Rust in the cheat sheet are pieces of the listings, so they
/// compile and run.
#[test]
fn the_cheat_sheet_quotes_the_listings() {
    let without_space =
        |text: &str| text.split_whitespace().collect::<String>();
    let sources = files(Path::new("listings")).into_iter();
    let listings: String = sources
        .filter(|file| file.extension().is_some_and(|it| it == "rs"))
        .map(|file| fs::read_to_string(root().join(file)).unwrap())
        .map(|source| without_space(&source))
        .collect();
    let page = page("cheat_sheet");
    let row = pattern(r"^\| `.*` \| (?<rust>.*) \| \[.*\]\(.*\) \|$");
    let code = pattern("`([^`]+)`");
    let mut problems = Vec::new();
    let mut count = 0;
    for (index, line) in page.source.lines().enumerate() {
        let Some(row) = row.captures(line) else {
            continue;
        };
        for piece in code.captures_iter(&row["rust"]) {
            count += 1;
            if !listings.contains(&without_space(&piece[1])) {
                let what = format!("no listing has {:?}", &piece[1]);
                problems.push(problem(&page.path, index + 1, what));
            }
        }
    }
    assert!(count > 2 * SECTIONS.len(), "the rows were not found");
    report(&problems);
}

/// The piece that a reader is to change is all in which a solution and its
/// starter differ, so the starter's check is the one that the solution passes.
#[test]
fn starters_have_the_check_of_their_solutions() {
    let mut problems = Vec::new();
    let mut pairs = 0;
    for starter in files(Path::new("listings")) {
        let name = starter.to_string_lossy();
        let Some(idea) = name.strip_suffix("_starter.rs") else {
            continue;
        };
        let solution = PathBuf::from(format!("{idea}_solution.rs"));
        pairs += 1;
        if around_the_piece(&starter) != around_the_piece(&solution) {
            let what = "differs from its solution outside of the piece";
            problems.push(problem(&starter, 1, what));
        }
    }
    assert!(pairs >= 2 * SECTIONS.len(), "the starters were not found");
    report(&problems);
}

/// The lines outside of the anchor that the page shows, without what the
/// piece may bring along: imports, comments on the file, empty lines.
fn around_the_piece(path: &Path) -> Vec<String> {
    let mut inside = 0;
    let mut lines = Vec::new();
    for line in fs::read_to_string(root().join(path)).unwrap().lines() {
        let anchor =
            |mark| line.split_once(mark).is_some_and(|(_, name)| name != "all");
        if anchor("// ANCHOR: ") {
            inside += 1;
        } else if anchor("// ANCHOR_END: ") {
            inside -= 1;
        } else if inside == 0
            && !line.trim().is_empty()
            && !["use ", "//!"].iter().any(|it| line.starts_with(it))
        {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// The first piece of a program brings the whole program, hidden around it.
/// Further ones come alone, and the page's script finds the rest.
#[test]
fn every_program_is_on_a_page_once() {
    let include = pattern(
        r"(?m)^\{\{#(\w+) (?:\.\./)+(listings/[^:}]+\.rs)(?::(\w+))?\}\}$",
    );
    let mut problems = Vec::new();
    for page in PAGES.iter() {
        let mut whole = BTreeSet::new();
        for found in include.captures_iter(&page.source) {
            let [how, file] = [1, 2].map(|it| found.get(it).unwrap().as_str());
            let anchor = found.get(3).map_or("all", |it| it.as_str());
            let brings_all = how == "rustdoc_include" || anchor == "all";
            let what = match (brings_all, whole.insert(file)) {
                (true, true) | (false, false) => continue,
                (true, false) => "was there before: take include",
                (false, true) => "comes first: take rustdoc_include",
            };
            let line =
                expand::line_at(&page.source, found.get(0).unwrap().start());
            let what = format!("{file} {what} for {anchor:?}");
            problems.push(problem(&page.path, line, what));
        }
    }
    report(&problems);
}
