//! What is remembered is forgotten as soon as anything changes that it
//! depends on, and an interrupted run leaves nothing to remember.

use std::cell::Cell;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use running::depends::{self, Depends};
use running::edits;
use running::programs::{Kind, Program};
use running::verified::Verified;
use tempfile::TempDir;

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");

/// Set in the process that is killed in the middle of a check.
const INTERRUPTED: &str = "MULTIPROCESSING_IN_RUST_INTERRUPTED";

/// A judge, a supervisor, and a memory of their own.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Result<Place> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("judge"), "a judge")?;
        fs::write(folder.path().join("supervise"), "a supervisor")?;
        Ok(Place { folder })
    }

    /// Whether the check is made.
    fn is_made(&self, name: &str, depends: &Depends) -> Result<bool> {
        let judge = self.folder.path().join("judge");
        let supervisor = self.folder.path().join("supervise");
        let made = Cell::new(false);
        let check = || {
            made.set(true);
            anyhow::Ok(())
        };
        Verified::of(&judge, &supervisor)?.once(name, depends, check)?;
        Ok(made.get())
    }
}

fn two(first: &str, second: &str) -> Depends {
    Depends::default().and("first", first).and("second", second)
}

#[test]
fn a_check_is_made_again_when_anything_changes() -> Result<()> {
    let place = Place::new()?;
    let depends = two("one", "two");
    assert!(place.is_made("check", &depends)?, "for the first time");
    assert!(!place.is_made("check", &depends)?, "nothing has changed");
    assert!(place.is_made("another check", &depends)?);
    for other in [
        two("One", "two"),
        two("one", "Two"),
        two("on", "etwo"),
        two("onetwo", ""),
        two("two", "one"),
        two("one", "two").and("third", ""),
        Depends::default().and("first", "one"),
    ] {
        assert!(place.is_made("check", &other)?, "{other:?}");
    }
    assert!(!place.is_made("check", &depends)?, "it is as it was");
    for file in ["judge", "supervise"] {
        let file = place.folder.path().join(file);
        fs::write(&file, "another one")?;
        assert!(place.is_made("check", &depends)?, "{file:?}");
    }
    Ok(())
}

#[test]
fn a_failure_is_not_remembered() -> Result<()> {
    let place = Place::new()?;
    let judge = place.folder.path().join("judge");
    let supervisor = place.folder.path().join("supervise");
    let verified = Verified::of(&judge, &supervisor)?;
    let depends = Depends::default();
    let failed = verified.once("check", &depends, || Err("it fails"));
    assert_eq!(failed, Err("it fails"));
    let panicked = std::panic::catch_unwind(|| {
        let _: Result<(), ()> =
            verified.once("check", &depends, || panic!("it panics"));
    });
    assert!(panicked.is_err());
    assert!(place.is_made("check", &depends)?);
    Ok(())
}

/// A process is killed in the middle of a check, which then is made again.
#[test]
fn an_interrupted_check_is_made_again() -> Result<()> {
    if let Some(folder) = env::var_os(INTERRUPTED) {
        let folder = PathBuf::from(folder);
        let (judge, supervisor) =
            (folder.join("judge"), folder.join("supervise"));
        let verified = Verified::of(&judge, &supervisor)?;
        return verified.once("check", &Depends::default(), || {
            eprintln!("in the middle");
            std::thread::park();
            Ok(())
        });
    }
    let place = Place::new()?;
    let mut killed = Command::new(env::current_exe()?)
        .args(["--exact", "an_interrupted_check_is_made_again"])
        .arg("--nocapture")
        .env(INTERRUPTED, place.folder.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let said = BufReader::new(killed.stderr.take().context("no pipe")?);
    let is_there = said
        .lines()
        .any(|it| it.is_ok_and(|it| it == "in the middle"));
    killed.kill()?;
    killed.wait()?;
    ensure!(is_there, "the check has not begun");
    ensure!(
        place.is_made("check", &Depends::default())?,
        "not made again"
    );
    Ok(())
}

/// The files of a section, and what is remembered about them: each is changed,
/// and what depends on it must notice.
#[test]
fn every_file_is_noticed_by_what_depends_on_it() -> Result<()> {
    // The kinds in the order of `kinds`. A listing's source reaches the check
    // of its runs as the executable, that of its blocks as the code, and that
    // of its breaks as the changed program.
    let expected = "\
        Cargo.lock: block edit command\n\
        Cargo.toml: block edit command\n\
        listings/small/Cargo.toml: listing block edit command twin\n\
        listings/small/breaks/small.gone.toml: edit\n\
        listings/small/examples/easy_solution.rs: command\n\
        listings/small/output/small.txt: listing twin\n\
        listings/small/small.py: twin\n\
        listings/small/src/bin/idea.rs: command\n\
        listings/small/src/main.rs: edit command\n\
        no .cargo/config.toml: block edit command\n\
        no rust-toolchain.toml: block edit command\n\
        target/small: listing\n";
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    let files = [
        ("Cargo.lock", "version = 4\n"),
        ("Cargo.toml", "[workspace]\n# "),
        ("listings/small/Cargo.toml", "[package]\nversion = 1"),
        (
            "listings/small/breaks/small.gone.toml",
            "[[replace]]\ntext = \"small\"\nwith = \"gone\"\n\n[ends]\n\
             expect = [\"gone\"]\nseconds = 1",
        ),
        ("listings/small/examples/easy_solution.rs", "fn main() {}\n"),
        ("listings/small/output/small.txt", "cargo run\n"),
        ("listings/small/small.py", "print(1)\n"),
        ("listings/small/src/bin/idea.rs", "fn main() {}\n"),
        ("listings/small/src/main.rs", "fn main() {} // small\n"),
        ("target/small", "an executable"),
    ];
    for (file, content) in files {
        let file = root.join(file);
        fs::create_dir_all(file.parent().context("a folder")?)?;
        fs::write(file, content)?;
    }
    let before = kinds(root)?;
    let mut noticed = String::new();
    let mut note = |what: &str| -> Result<()> {
        let after = kinds(root)?;
        let kinds = before.iter().zip(after);
        let changed = kinds.filter(|((_, a), (_, b))| a != b);
        let names: Vec<&str> = changed.map(|((name, _), _)| *name).collect();
        noticed += &format!("{what}: {}\n", names.join(" "));
        Ok(())
    };
    for (file, content) in files {
        // One more second, of what the break says.
        fs::write(root.join(file), format!("{content}1"))?;
        note(file)?;
        fs::write(root.join(file), content)?;
        // Alphabetical, as expected.
        if file == "listings/small/src/main.rs" {
            for new in [".cargo/config.toml", "rust-toolchain.toml"] {
                let path = root.join(new);
                fs::create_dir_all(path.parent().context("a folder")?)?;
                fs::write(&path, "")?;
                note(&format!("no {new}"))?;
                fs::remove_file(path)?;
            }
        }
    }
    println!("{noticed}");
    assert_eq!(noticed, expected);
    for (name, depends) in before {
        println!("{name}: {}", depends.names().collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

/// What each kind of check depends on, for the section `small`.
fn kinds(root: &Path) -> Result<Vec<(&'static str, Depends)>> {
    let program = Program {
        section: "small".to_owned(),
        name: "small".to_owned(),
        kind: Kind::Listing,
        executable: root.join("target/small"),
        source: "listings/small/src/main.rs".into(),
    };
    let edits = edits::of(root, "small")?;
    let [edit] = edits.as_slice() else {
        anyhow::bail!("{} edits were found", edits.len());
    };
    let record = Path::new("listings/small/output/small.txt");
    Ok(vec![
        ("listing", depends::listing(root, &program)?),
        ("block", depends::block(root, "small", "fn main() {}")?),
        ("edit", depends::edit(root, edit)?),
        ("command", depends::command(root, "small")?),
        ("twin", depends::twin(root, "small", record, "Python 3")?),
    ])
}

/// This very executable and its supervisor can be told from others.
#[test]
fn the_judge_is_this_executable() -> Result<()> {
    let own = Verified::beside(Path::new(SUPERVISOR))?;
    let other = Verified::of(Path::new(SUPERVISOR), Path::new(SUPERVISOR))?;
    let name = format!("a check of process {}", std::process::id());
    own.once(&name, &Depends::default(), || anyhow::Ok(()))?;
    ensure!(own.holds(&name, &Depends::default()), "it was remembered");
    ensure!(!other.holds(&name, &Depends::default()), "by another judge");
    Ok(())
}
