//! A proof about a recipe runs the recipe's own code.
//!
//! A listing is one complete file, so the recipe's items stand in the proof's
//! file as well; a section's `Cargo.toml` says which (`same-code`), and here
//! they are the same, letter by letter.

use std::fs;
use std::path::{Path, PathBuf};

use running::programs::{self, SECTIONS};

use crate::{problem, report, root};

#[test]
fn proofs_run_the_recipes_own_code() {
    let mut problems = Vec::new();
    for section in SECTIONS {
        let declared = programs::declared(root(), section).unwrap();
        for (proof, same) in &declared.same_code {
            let (proof, recipe) =
                (source(section, proof), source(section, &same.of));
            let read = |file: &Path| fs::read_to_string(root().join(file));
            let (Ok(in_proof), Ok(in_recipe)) = (read(&proof), read(&recipe))
            else {
                let what =
                    format!("no {} or {}", proof.display(), recipe.display());
                let manifest = format!("listings/{section}/Cargo.toml");
                problems.push(problem(manifest, 1, what));
                continue;
            };
            for begin in &same.items {
                let theirs = item(&in_recipe, begin);
                let ours = item(&in_proof, begin);
                let what = match (&ours, &theirs) {
                    (None, _) => format!("has no `{begin}`"),
                    (_, None) => {
                        format!("{} has no `{begin}`", recipe.display())
                    }
                    (Some(ours), Some(theirs)) if ours.1 != theirs.1 => {
                        format!("`{begin}` is not that of {}", recipe.display())
                    }
                    _ => continue,
                };
                let line = ours.map_or(1, |it| it.0);
                problems.push(problem(&proof, line, what));
            }
        }
    }
    report(&problems);
}

fn source(section: &str, program: &str) -> PathBuf {
    let folder = Path::new("listings").join(section).join("src");
    match program == section {
        true => folder.join("main.rs"),
        false => folder.join("bin").join(format!("{program}.rs")),
    }
}

/// The item that begins so, and its line. rustfmt ends an item of several
/// lines with a brace in the column where the item begins. Anchors and
/// comments do not count.
fn item(source: &str, begin: &str) -> Option<(usize, String)> {
    let lines: Vec<&str> = source.lines().collect();
    let is_begin = |line: &&str| -> bool {
        let rest = line.trim_start().trim_start_matches("pub ");
        rest.strip_prefix(begin).is_some_and(|rest| {
            !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    };
    let first = lines.iter().position(is_begin)?;
    let indent = lines[first].len() - lines[first].trim_start().len();
    let closing = format!("{}}}", " ".repeat(indent));
    let one_line = lines[first].ends_with([';', '}']);
    let last = match one_line {
        true => first,
        false => {
            let ends = |line: &&str| {
                line.strip_prefix(&closing)
                    .is_some_and(|rest| matches!(rest, "" | ";"))
            };
            first + lines[first..].iter().position(ends)?
        }
    };
    let text = lines[first..=last].iter();
    let text = text.filter(|line| !line.trim_start().starts_with("//"));
    let text: String = text
        .map(|line| format!("{}\n", line.get(indent..).unwrap_or("")))
        .collect();
    Some((first + 1, text))
}

#[test]
fn items_are_found() {
    let source = "\
mod pool {
    // ANCHOR: ask
    fn ask() {
        // why
        if true {
        }
    }
    // ANCHOR_END: ask
}
fn asked() {}
struct Pool(i32);
";
    let ask = (3, "fn ask() {\n    if true {\n    }\n}\n".to_owned());
    assert_eq!(item(source, "fn ask"), Some(ask));
    let pool = (11, "struct Pool(i32);\n".to_owned());
    assert_eq!(item(source, "struct Pool"), Some(pool));
    assert_eq!(item(source, "fn as"), None);
}
