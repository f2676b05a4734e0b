//! Listings changed on purpose: what happens when the mechanism that a proof
//! is about is taken away, or when a program gets other work than it shows.
//!
//! Beside the listings of a section, `breaks/PROGRAM.NAME.toml` and
//! `trials/PROGRAM.NAME.toml` each describe one change and how the changed
//! program ends. A *break* must fail, and in the way described; a *trial*
//! must succeed. `crate::batch` compiles the changed programs.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::batch::{Collection, Source};
use crate::programs::PACKAGES;
use crate::supervise::Outcome;

/// How the changed programs are compiled: as the listings are.
pub const COLLECTION: Collection = Collection {
    name: "edits",
    edition: None,
    lines: false,
};

/// What an edited program has to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It must not succeed.
    Break,
    /// It must succeed, unless it says otherwise.
    Trial,
}

/// One change of one program.
#[derive(Clone, Debug)]
pub struct Edit {
    pub kind: Kind,
    pub section: String,
    /// The program that is changed: its binary's or example's name.
    pub program: String,
    /// Where the change is described, from the book's root.
    pub file: PathBuf,
    /// The program's source, from the book's root.
    pub source: PathBuf,
    /// The source with the change.
    pub text: String,
    pub ends: Ends,
}

/// How the changed program ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    /// Each is part of what it prints, or of what the supervisor finds.
    pub expect: Vec<String>,
    /// None is part of it.
    #[serde(default)]
    pub refuse: Vec<String>,
    /// Its exit code, or `"any"` where chance decides and the text is the
    /// sign. A break without one ends with any but 0, or by a signal; a trial
    /// without one ends with 0.
    pub exit: Option<Exit>,
    /// Whether it misses its deadline instead.
    #[serde(default)]
    pub hangs: bool,
    /// Whether it may leave processes and files behind.
    #[serde(default)]
    pub leaves: bool,
    /// Whether it must have an executable of its own, because it looks at
    /// what stands in its file or gives it another name.
    #[serde(default)]
    pub alone: bool,
    /// Its deadline. Name one for what ends by some other deadline, too, and
    /// it starts before the others.
    pub seconds: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub enum Exit {
    Code(i32),
    Any(Any),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Any {
    Any,
}

/// The deadline of what names none, in seconds.
const SECONDS: u64 = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    replace: Vec<Replace>,
    ends: Ends,
}

/// A text of a program, and what stands there instead.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// It occurs exactly once.
    pub text: String,
    pub with: String,
}

/// Where a program's source is, from the book's root.
///
/// # Errors
/// If the section has no such program.
pub fn source(root: &Path, section: &str, program: &str) -> Result<PathBuf> {
    let package = Path::new("listings").join(section);
    let places = [
        package.join(format!("src/bin/{program}.rs")),
        package.join(format!("examples/{program}.rs")),
    ];
    match program == section {
        true => Ok(package.join("src/main.rs")),
        false => places
            .into_iter()
            .find(|place| root.join(place).is_file())
            .with_context(|| format!("{section} has no program {program}")),
    }
}

/// The text of a program with the changes.
///
/// # Errors
/// If a text that is to be replaced does not occur exactly once, or if nothing
/// is changed.
pub fn changed(
    root: &Path,
    source: &Path,
    replace: &[Replace],
) -> Result<String> {
    let original = fs::read_to_string(root.join(source))?;
    let mut text = original.clone();
    for Replace { text: old, with } in replace {
        let count = text.matches(old.as_str()).count();
        ensure!(
            count == 1,
            "this occurs {count} times in {}, not once:\n{old}",
            source.display()
        );
        text = text.replacen(old.as_str(), with, 1);
    }
    ensure!(text != original, "changes nothing");
    Ok(text)
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())
    }
}

impl Edit {
    /// Unique in the book: the name of the changed copy's module, and of its
    /// executable.
    pub fn name(&self) -> String {
        let stem = self.file.file_stem().unwrap_or_default();
        format!("{}_edited", stem.display()).replace(['.', '-'], "_")
    }

    /// The changed program, to be compiled.
    pub fn source(&self) -> Source {
        Source {
            section: self.section.clone(),
            name: self.name(),
            text: self.text.clone(),
            is_alone: self.ends.alone,
        }
    }

    /// Whether it may end by a deadline only: its own, one that the file names
    /// for it, or that of an exercise's check.
    pub fn waits(&self) -> bool {
        let is_checked = |text: &String| text.contains("not solved yet");
        self.ends.hangs
            || self.ends.seconds.is_some()
            || self.ends.expect.iter().any(is_checked)
    }

    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.ends.seconds.unwrap_or(SECONDS))
    }

    /// What is wrong with how the changed program ended.
    pub fn faults(&self, outcome: &Outcome) -> Vec<String> {
        let Ends {
            expect,
            refuse,
            exit,
            hangs,
            leaves,
            ..
        } = &self.ends;
        let mut faults = Vec::new();
        let overdue = |fault: &&String| fault.starts_with("did not end");
        match (hangs, outcome.faults.iter().find(overdue)) {
            (false, Some(fault)) => faults.push(fault.clone()),
            (true, None) => faults.push(format!(
                "ended with {} and was expected to hang",
                outcome.ending()
            )),
            _ => {}
        }
        let ended_well = match (exit, self.kind) {
            _ if *hangs => true,
            (Some(Exit::Any(_)), _) => true,
            (Some(Exit::Code(code)), _) => outcome.code == Some(*code),
            (None, Kind::Break) => outcome.code != Some(0),
            (None, Kind::Trial) => outcome.code == Some(0),
        };
        if !ended_well {
            faults.push(format!("ended with {}", outcome.ending()));
        }
        if !leaves {
            let left = outcome.faults.iter().filter(|it| !overdue(it));
            faults.extend(left.cloned());
        }
        let all = format!("{}\n{}", outcome.output, outcome.faults.join("\n"));
        for text in expect {
            // `main` prints its error in two pieces, between which other
            // processes may print.
            let message = text.strip_prefix("Error: ").unwrap_or(text);
            let says = all.contains("Error: ") || message == text;
            if !says || !all.contains(message) {
                faults.push(format!("does not say {text:?}"));
            }
        }
        for text in refuse.iter().filter(|text| all.contains(*text)) {
            faults.push(format!("says {text:?}"));
        }
        faults
    }
}

/// Every edit of the book.
///
/// # Errors
/// If a file is not valid, names no program, or does not fit the program's
/// text (each text that it replaces occurs exactly once).
pub fn all(root: &Path) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    for section in PACKAGES {
        edits.extend(of(root, section)?);
    }
    edits.sort_by_key(|edit| edit.file.clone());
    Ok(edits)
}

/// Every edit of a section's programs.
///
/// # Errors
/// Those of [`all`].
pub fn of(root: &Path, section: &str) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    for (kind, folder) in [(Kind::Break, "breaks"), (Kind::Trial, "trials")] {
        let folder = Path::new("listings").join(section).join(folder);
        let entries = fs::read_dir(root.join(&folder)).into_iter();
        for entry in entries.flatten() {
            let file = folder.join(entry?.file_name());
            let edit = edit(root, kind, section, &file);
            let edit = edit.with_context(|| format!("{}", file.display()))?;
            edits.push(edit);
        }
    }
    Ok(edits)
}

fn edit(root: &Path, kind: Kind, section: &str, file: &Path) -> Result<Edit> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let parts: Vec<&str> = name.split('.').collect();
    let [program, _, "toml"] = parts.as_slice() else {
        bail!("is not named PROGRAM.NAME.toml");
    };
    let text = fs::read_to_string(root.join(file))?;
    let File { replace, ends } = toml::from_str(&text)?;
    ensure!(
        !ends.expect.is_empty(),
        "expects no text: what does it show?"
    );
    let source = source(root, section, program)?;
    let text = changed(root, &source, &replace)?;
    Ok(Edit {
        kind,
        section: section.to_owned(),
        program: (*program).to_owned(),
        file: file.to_owned(),
        source,
        text,
        ends,
    })
}
