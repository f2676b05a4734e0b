//! The book is whole: nothing that a page includes, links or numbers is
//! missing, and nothing lies in the listings that no page shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use harness::expand::{self, Fence, Page};
use harness::includes::{self, Include, Part, Problem};
use harness::programs::SECTIONS;
use harness::site;
use regex::Regex;
use scraper::{Html, Selector};

/// What follows the sections.
const APPENDICES: [&str; 5] =
    ["cheat_sheet", "pitfalls", "claims", "beyond", "glossary"];

/// Languages that a fence may have. Anything else would be shown without
/// colors, or is a misspelling.
const LANGUAGES: [&str; 6] = ["rust", "python", "sh", "text", "toml", "yaml"];

/// What would let a Rust block go unverified.
const UNVERIFIED: [&str; 4] =
    ["ignore", "no_run", "compile_fail", "noplayground"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

static PAGES: LazyLock<Vec<Page>> = LazyLock::new(|| {
    expand::pages(root()).unwrap_or_else(|error| panic!("{error:#}"))
});

static INCLUDES: LazyLock<(Vec<Include>, Vec<Problem>)> =
    LazyLock::new(|| includes::check(root(), &PAGES));

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

#[test]
fn the_twelve_sections_stand_in_order() {
    let stems: Vec<String> = PAGES.iter().map(Page::stem).collect();
    let mut order = vec!["introduction", "chapter"];
    order.extend(SECTIONS);
    order.extend(APPENDICES);
    assert_eq!(stems, order, "src/SUMMARY.md");
}

/// Its number in its own heading, the Python script and the Rust program side
/// by side, then how it works.
#[test]
fn every_section_begins_like_the_others() {
    let opening = pattern(concat!(
        r"(?s)^# (?<number>\d+)\. [^\n]+\n\n.*?\n\n",
        r#"<div class="beside">\n<div>\n\n## In Python\n.*?\n\n"#,
        r"</div>\n<div>\n\n## In Rust\n.*?\n\n",
        r"</div>\n</div>\n\n## How it works\n",
    ));
    let mut problems = Vec::new();
    for (number, section) in (1..).zip(SECTIONS) {
        let page = PAGES.iter().find(|page| page.stem() == *section).unwrap();
        match opening.captures(&page.source) {
            None => problems.push(problem(
                &page.path,
                1,
                "has not the opening of the other sections",
            )),
            Some(found) if found["number"] != i32::to_string(&number) => {
                let what = format!("is section {number}, as SUMMARY.md says");
                problems.push(problem(&page.path, 1, what));
            }
            Some(_) => {}
        }
    }
    report(&problems);
}

#[test]
fn every_include_resolves() {
    assert!(
        INCLUDES.0.len() > SECTIONS.len(),
        "the includes were not found"
    );
    report(&INCLUDES.1);
}

#[test]
fn every_page_is_in_the_summary() {
    let known: BTreeSet<_> = PAGES.iter().map(|page| &page.path).collect();
    let mut problems = Vec::new();
    for file in files(Path::new("src")) {
        let name = file.file_name().unwrap();
        if name != "SUMMARY.md" && name != "404.md" && !known.contains(&file) {
            problems.push(problem(file, 1, "is not in src/SUMMARY.md"));
        }
    }
    report(&problems);
}

/// No listing, anchor, twin or output that no page shows.
#[test]
fn every_listing_is_shown() {
    let mut shown: HashMap<&Path, Vec<&Include>> = HashMap::new();
    for include in &INCLUDES.0 {
        shown.entry(&include.file).or_default().push(include);
    }
    let mut problems = Vec::new();
    for section in SECTIONS {
        let folder = Path::new("listings").join(section);
        let page = Path::new("src").join(section).with_extension("md");
        for file in files(&folder) {
            let inside = file.strip_prefix(&folder).unwrap();
            if inside == Path::new("Cargo.toml") {
                continue;
            }
            if !is_expected(section, inside) {
                let what = "has no place in a section's folder";
                problems.push(problem(file, 1, what));
                continue;
            }
            // The page shows the figure that is drawn from these events.
            let by = match inside == Path::new("timeline.toml") {
                true => file.with_extension("svg"),
                false => file.clone(),
            };
            let Some(includes) = shown.get(by.as_path()) else {
                problems.push(problem(file, 1, "is shown on no page"));
                continue;
            };
            if !includes.iter().any(|include| include.page == page) {
                let what = format!("is not shown on {}", page.display());
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
        ("", "toml" | "svg") => {
            file.file_stem().is_some_and(|stem| stem == "timeline")
        }
        ("src" | "src/bin" | "examples", "rs") => true,
        ("output", "txt") => true,
        _ => false,
    }
}

/// An output without its program is left over from a listing that is gone.
#[test]
fn every_output_has_its_program() {
    let mut problems = Vec::new();
    for section in SECTIONS {
        let folder = Path::new("listings").join(section);
        for file in files(&folder.join("output")) {
            let stem = file.file_stem().unwrap().to_string_lossy();
            let source = if stem == section {
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
    let include =
        pattern(r"\{\{#include \.\./(listings/\S+/output/\S+\.txt):2:\}\}");
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

/// Listings are numbered in the order of the page, and a caption names the
/// file that stands under it.
#[test]
fn every_listing_has_its_number_and_name() {
    let figure = pattern(
        r#"(?s)<figure class="listing" id="(?<id>[^"]*)">\n<figcaption>(?<caption>.*?)</figcaption>(?<body>.*?)</figure>"#,
    );
    let caption = pattern(
        r##"^<a href="#(?<id>[^"]+)">Listing (?<section>\d+)-(?<number>\d+)</a>: .+ · <code>(?<file>[^<]+)</code>$"##,
    );
    let file = pattern(r"\{\{#\w+ \.\./(?<file>[^:}]+)");
    let mut problems = Vec::new();
    for (index, section) in SECTIONS.iter().enumerate() {
        let page = PAGES.iter().find(|page| page.stem() == *section).unwrap();
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
            let expected = format!("{}-{number}", index + 1);
            let given = format!("{}-{}", &named["section"], &named["number"]);
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
                main if main == "main" => (*section).into(),
                other => other,
            };
            let id = format!("listing-{stem}");
            if found["id"] != id || named["id"] != id {
                wrong(format!("the figure's id and link should be {id}"));
            }
        }
        if number == 0 {
            problems.push(problem(&page.path, 1, "shows no listing"));
        }
    }
    report(&problems);
}

/// Whoever names a listing links to it, so that its number can be checked.
#[test]
fn every_mention_of_a_listing_leads_to_it() {
    let caption =
        pattern(r##"<a href="#(listing-\w+)">Listing (\d+-\d+)</a>"##);
    let known: HashMap<&str, String> = PAGES
        .iter()
        .flat_map(|page| {
            caption.captures_iter(&page.source).map(|found| {
                let (_, [id, number]) = found.extract();
                (number, format!("{}.md#{id}", page.stem()))
            })
        })
        .collect();
    let mention = pattern(
        r"Listing (?<number>\d+-\d+)(?:\]\((?<link>[^)]+)\)|(?<caption></a>))?",
    );
    let mut problems = Vec::new();
    for page in PAGES.iter() {
        for found in mention.captures_iter(&page.source) {
            let number = &found["number"];
            let link = found.name("link").map(|link| match link.as_str() {
                here if here.starts_with('#') => {
                    format!("{}.md{here}", page.stem())
                }
                there => there.to_owned(),
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
    let path = Path::new("src/cheat_sheet.md");
    let page = PAGES.iter().find(|page| page.path == path).unwrap();
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
                problems.push(problem(path, index + 1, what));
            }
        }
    }
    assert!(count > 2 * SECTIONS.len(), "the rows were not found");
    report(&problems);
}

/// A number of its own, the task, the starter, and a solution to unfold.
#[test]
fn every_exercise_has_the_form_of_the_others() {
    let exercises = pattern(r"(?s)\n## Exercises\n(.*?)\n## Sources\n");
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
        let page = PAGES.iter().find(|page| page.stem() == *stem).unwrap();
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
    let include =
        pattern(r"(?m)^\{\{#(\w+) (\.\./listings/[^:}]+\.rs)(?::(\w+))?\}\}$");
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

/// Beyond what every mdBook brings: the page itself, and the book's own style
/// and script. In bytes.
const HEAVIEST: u64 = 300_000;

#[test]
fn no_page_is_heavy() {
    let folder = tempfile::tempdir().unwrap();
    let built = site::build_into(root(), folder.path())
        .unwrap_or_else(|error| panic!("{error:#}"));
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let ours: u64 = walk(&built.join("theme")).iter().map(size).sum();
    let mut problems = Vec::new();
    for page in PAGES.iter() {
        let size = size(&built.join(format!("{}.html", page.stem()))) + ours;
        if size > HEAVIEST {
            let what = format!("weighs {size} bytes, {HEAVIEST} at most");
            problems.push(problem(&page.path, 1, what));
        }
    }
    report(&problems);
}

/// Every link and every fragment of the built pages leads somewhere, and no
/// page has one id twice.
#[test]
fn every_link_resolves() {
    let folder = tempfile::tempdir().unwrap();
    let built = site::build_into(root(), folder.path())
        .unwrap_or_else(|error| panic!("{error:#}"));
    let html: BTreeMap<PathBuf, Html> = walk(&built)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "html"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, Html::parse_document(&text))
        })
        .collect();
    assert!(html.len() > SECTIONS.len(), "the pages were not built");

    let with_id = Selector::parse("[id]").unwrap();
    let ids: HashMap<&Path, Vec<&str>> = html
        .iter()
        .map(|(path, page)| {
            let ids = page.select(&with_id).filter_map(|it| it.attr("id"));
            (path.as_path(), ids.collect())
        })
        .collect();
    let mut problems = Vec::new();
    let mut links = 0;
    for (path, page) in &html {
        let mut seen = BTreeSet::new();
        for id in &ids[path.as_path()] {
            if !seen.insert(id) {
                problems.push(place(&built, path, id, "is an id used twice"));
            }
        }
        let linking = Selector::parse("a[href], link[href], [src]").unwrap();
        for element in page.select(&linking) {
            let link = element.attr("href").or(element.attr("src")).unwrap();
            if link.contains("://") || link.starts_with("data:") {
                if !link.starts_with("https://") && !link.starts_with("data:") {
                    let what = "is a link without https";
                    problems.push(place(&built, path, link, what));
                }
                continue;
            }
            links += 1;
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = match (file, file.strip_prefix('/')) {
                ("", _) => path.clone(),
                (_, Some(absolute)) => built.join(absolute),
                _ => path.parent().unwrap().join(file),
            };
            let target = target.canonicalize().unwrap_or(target);
            let target = match target.is_dir() {
                true => target.join("index.html"),
                false => target,
            };
            if !target.is_file() {
                problems.push(place(&built, path, link, "is a dead link"));
            } else if !fragment.is_empty()
                && let Some(known) = ids.get(target.as_path())
                && !known.contains(&fragment)
            {
                problems.push(place(&built, path, link, "is a dead fragment"));
            }
        }
    }
    assert!(links > 100, "the links were not found");
    // print.html joins all pages and repeats what is wrong in them.
    problems.retain(|problem| !problem.file.ends_with("print.html"));
    report(&problems);
}

/// Finds where the Markdown of a built page says `text`.
fn place(built: &Path, html: &Path, text: &str, what: &str) -> Problem {
    let name = html.strip_prefix(built).unwrap().with_extension("md");
    let page = PAGES.iter().find(|page| page.path.ends_with(&name));
    let what = format!("{text:?} {what}");
    match page {
        Some(page) => {
            let written = text.replacen(".html", ".md", 1);
            let offset = page.source.find(&written).unwrap_or(0);
            let line = expand::line_at(&page.source, offset);
            problem(&page.path, line, what)
        }
        None => problem(html.strip_prefix(built).unwrap(), 1, what),
    }
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
