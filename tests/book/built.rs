//! What mdBook makes of the pages.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use book::expand;
use book::includes::Problem;
use book::site;
use running::programs::SECTIONS;
use scraper::{Html, Selector};
use tempfile::TempDir;

use crate::{PAGES, once, problem, report, root, walk};

/// Beyond what every mdBook brings: the page itself, and the book's own style
/// and script. In bytes.
const HEAVIEST: u64 = 170_000;

/// The built pages, and what holds their folder.
static BUILT: LazyLock<(PathBuf, TempDir)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let built = site::build_into(root(), folder.path())
        .unwrap_or_else(|error| panic!("{error:#}"));
    (built, folder)
});

#[test]
fn no_page_is_heavy() {
    once("no page is heavy", weigh);
}

fn weigh() {
    let built = &BUILT.0;
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let ours: u64 = walk(&built.join("theme")).iter().map(size).sum();
    let mut problems = Vec::new();
    for page in PAGES.iter() {
        let size = size(&built.join(page.html())) + ours;
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
    once("every link resolves", follow_links);
}

fn follow_links() {
    let built = &BUILT.0;
    let html: BTreeMap<PathBuf, Html> = walk(built)
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
                problems.push(place(built, path, id, "is an id used twice"));
            }
        }
        let linking = Selector::parse("a[href], link[href], [src]").unwrap();
        for element in page.select(&linking) {
            let link = element.attr("href").or(element.attr("src")).unwrap();
            if link.contains("://") || link.starts_with("data:") {
                if !link.starts_with("https://") && !link.starts_with("data:") {
                    let what = "is a link without https";
                    problems.push(place(built, path, link, what));
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
                problems.push(place(built, path, link, "is a dead link"));
            } else if !fragment.is_empty()
                && let Some(known) = ids.get(target.as_path())
                && !known.contains(&fragment)
            {
                problems.push(place(built, path, link, "is a dead fragment"));
            }
        }
    }
    assert!(links > 100, "the links were not found");
    // print.html joins all pages and repeats what is wrong in them.
    problems.retain(|problem| !problem.file.ends_with("print.html"));
    report(&problems);
}

/// The pages and ids of the first edition, one address a line.
const OLD: &str = include_str!("first_edition.txt");

/// Whoever has linked to the first edition still comes to what was there: each
/// of its pages and listings is where it was, or is redirected to where it went.
/// A heading may lead to the top of its page.
#[test]
fn old_addresses_lead_somewhere() {
    once("old addresses", follow_old_addresses);
}

fn follow_old_addresses() {
    let built = &BUILT.0;
    let config = fs::read_to_string(root().join("book.toml")).unwrap();
    let config: toml::Table = toml::from_str(&config).unwrap();
    let redirects = config["output"]["html"].get("redirect");
    let redirect = |address: &str| {
        let to = redirects?.get(format!("/{address}"))?.as_str()?;
        Some(to.trim_start_matches('/').to_owned())
    };
    let mut ids: HashMap<String, Option<BTreeSet<String>>> = HashMap::new();
    let mut has = |page: &str, id: Option<&str>| {
        let of_page = ids.entry(page.to_owned()).or_insert_with(|| {
            let text = fs::read_to_string(built.join(page)).ok()?;
            let with_id = Selector::parse("main [id]").unwrap();
            let html = Html::parse_document(&text);
            let found = html.select(&with_id).filter_map(|it| it.attr("id"));
            Some(found.map(str::to_owned).collect())
        });
        match (of_page, id) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(ids), Some(id)) => ids.contains(id),
        }
    };
    let mut problems = Vec::new();
    for (index, address) in OLD.lines().enumerate() {
        let (page, id) = match address.split_once('#') {
            Some((page, id)) => (page, Some(id)),
            None => (address, None),
        };
        let target = redirect(address);
        let target = target.or_else(|| redirect(page));
        let is_listing = id.is_some_and(|id| id.starts_with("listing-"));
        let found = match &target {
            Some(target) => match target.split_once('#') {
                Some((page, id)) => has(page, Some(id)),
                None => !is_listing && has(target, None),
            },
            None => has(page, id),
        };
        if !found && (is_listing || !has(page, None)) {
            let what = match target {
                Some(target) => format!(
                    "{address} is redirected to {target}, \
                                         which is not there"
                ),
                None => format!("{address} is gone: redirect it in book.toml"),
            };
            let file = "tests/book/first_edition.txt";
            problems.push(problem(file, index + 1, what));
        }
    }
    report(&problems);
}

/// Finds where the Markdown of a built page says `text`.
fn place(built: &Path, html: &Path, text: &str, what: &str) -> Problem {
    let name = html.strip_prefix(built).unwrap().with_extension("md");
    let page = PAGES
        .iter()
        .find(|page| page.path == Path::new("src").join(&name));
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
