//! Every page looks and works as it should in a real browser: Chromium, which
//! `tests/browser/check.mjs` drives.
//!
//! One test a page: no console error, no request to another host, nothing
//! wider than the screen, no violation of axe-core's rules and every figure
//! visible in all themes on a telephone and on a desktop, and copy buttons
//! that copy what is to be seen. One test for each thing that concerns the
//! whole book. Where Node.js or Chromium is missing, a reader's machine skips
//! them with a word about it, and `CI=true` fails.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use book::expand::{self, Page};
use book::serve::Server;
use book::site;
use libtest_mimic::{Arguments, Failed, Trial};
use printing::devtools::Chromium;
use regex::bytes::Regex;
use running::chromium;
use running::depends::Depends;
use running::needs::{self, NODE};
use running::supervise::SUPERVISOR;
use running::verified::Verified;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

/// What concerns the whole book: the check and the test's name.
const OF_THE_BOOK: [(&str, &str); 4] = [
    ("themes", "the choice of a theme is shown and remembered"),
    ("walk", "next and previous lead through all pages"),
    ("search", "a search finds a word of each page"),
    ("keyboard", "the keyboard reaches the sidebar button"),
];

/// Where the listings' names lead to, for this test. Published, they lead to
/// the repository that publishes.
const REPOSITORY: &str = "https://repository.example/book";

/// How long Chromium may take for its start, and all of a check's looks.
const ANSWER: Duration = Duration::from_secs(240);

/// The page that stands for all where they are alike.
const SAMPLE: &str = "killing_process.html";

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let tools = Tools::find();
    if let Err(missing) = &tools
        && !needs::on_ci()
    {
        eprintln!("skipped the browser tests: {missing:#}");
    }
    let book = Arc::new(Book::build()?);
    let desk = Arc::new(Desk::new(tools));
    let mut trials = Vec::new();
    for page in book.pages.iter().chain([&"404.html".to_owned()]) {
        let (book, desk) = (Arc::clone(&book), Arc::clone(&desk));
        let page = page.clone();
        trials.push(Trial::test(format!("page {page}"), move || {
            let depends = book.of_page(&page)?;
            desk.verify(&book, "page", &page, &depends)
        }));
    }
    for (check, name) in OF_THE_BOOK {
        let (book, desk) = (Arc::clone(&book), Arc::clone(&desk));
        trials.push(Trial::test(name, move || {
            desk.verify(&book, check, SAMPLE, &book.of_all())
        }));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    desk.sum_up();
    conclusion.exit();
}

/// The built book.
struct Book {
    folder: PathBuf,
    /// In reading order, for example `killing_process.html`.
    pages: Vec<String>,
    /// Path inside the folder to content, of everything that is served.
    files: BTreeMap<PathBuf, Vec<u8>>,
    _place: TempDir,
}

impl Book {
    fn build() -> Result<Book> {
        let root = running::root();
        let place = tempfile::tempdir()?;
        let mut book = site::load(root)?;
        book.config.build.build_dir = place.path().to_owned();
        book.config
            .set("output.html.git-repository-url", REPOSITORY)?;
        book.build()?;
        let folder = book.build_dir_for("html");
        let pages = expand::pages(root)?;
        let pages = pages.iter().map(Page::html);
        let mut files = BTreeMap::new();
        read_all(&folder, &folder, &mut files)?;
        Ok(Book {
            pages: pages.collect(),
            folder,
            files,
            _place: place,
        })
    }

    /// What the look of one page depends on: itself and what all share. The
    /// search index has every page's text, and its name goes with it, so both
    /// are left out.
    fn of_page(&self, page: &str) -> Result<Vec<u8>> {
        let html = self.files.get(Path::new(page));
        let html = html.with_context(|| format!("{page} was not built"))?;
        let index = Regex::new(r"searchindex-\w+\.js")?;
        let mut depends = html.clone();
        for (path, content) in &self.files {
            let name = path.to_string_lossy();
            if !name.ends_with(".html") && !index.is_match(name.as_bytes()) {
                depends.extend_from_slice(content);
            }
        }
        let depends = index.replace_all(&depends, b"").into_owned();
        Ok(depends)
    }

    fn of_all(&self) -> Vec<u8> {
        self.files.values().flatten().copied().collect()
    }
}

fn read_all(
    root: &Path,
    folder: &Path,
    files: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_all(root, &path, files)?;
        } else {
            let inside = path.strip_prefix(root)?.to_owned();
            files.insert(inside, fs::read(&path)?);
        }
    }
    Ok(())
}

/// The programs that look at the pages.
struct Tools {
    chromium: PathBuf,
    script: PathBuf,
    /// What they are: another version looks with other eyes.
    versions: Vec<u8>,
}

impl Tools {
    /// # Errors
    /// If one is missing or too old, with what a reader can do about it.
    fn find() -> Result<Tools> {
        let folder = running::root().join("tests/browser");
        NODE.version()?;
        are_installed(&folder)?;
        let chromium = chromium::find()?;
        let version = Chromium::start(&chromium, ANSWER)?.version().to_owned();
        let script = folder.join("check.mjs");
        let mut versions = version.into_bytes();
        for file in [&script, &folder.join("package-lock.json")] {
            versions.extend(read(file)?);
        }
        Ok(Tools {
            chromium,
            script,
            versions,
        })
    }
}

/// What `package.json` asks for is there, in the version that it names.
fn are_installed(folder: &Path) -> Result<()> {
    let package: Value =
        serde_json::from_slice(&read(&folder.join("package.json"))?)?;
    let needed = package["dependencies"].as_object();
    for (name, needed) in needed.context("nothing is to be installed")? {
        let file = format!("node_modules/{name}/package.json");
        let found = fs::read(folder.join(file)).unwrap_or_default();
        let found: Value = serde_json::from_slice(&found).unwrap_or_default();
        let found = &found["version"];
        ensure!(
            found == needed,
            "{name} {needed} is needed, and {} is installed: run \
             npm ci --prefix tests/browser",
            match found {
                Value::Null => "none".to_owned(),
                version => version.to_string(),
            }
        );
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Where the checks are asked for and counted.
struct Desk {
    tools: Result<Tools>,
    /// Those that have nothing to do. One is started for each check that is not
    /// verified yet and finds none.
    drivers: Mutex<Vec<Driver>>,
    figures: Mutex<Figures>,
}

#[derive(Default)]
struct Figures {
    looked_at: usize,
    pages: usize,
    checks: usize,
    problems: usize,
}

#[derive(Serialize)]
struct Request<'a> {
    check: &'a str,
    page: &'a str,
    pages: &'a [String],
}

#[derive(Deserialize)]
struct Answer {
    checks: usize,
    problems: Vec<String>,
}

impl Desk {
    fn new(tools: Result<Tools>) -> Desk {
        Desk {
            tools,
            drivers: Mutex::default(),
            figures: Mutex::default(),
        }
    }

    /// Runs a check, unless it has succeeded before with the same `content`.
    fn verify(
        &self,
        book: &Book,
        check: &str,
        page: &str,
        content: &[u8],
    ) -> Result<(), Failed> {
        let tools = match &self.tools {
            Ok(tools) => tools,
            Err(missing) if needs::on_ci() => {
                return Err(Failed::from(format!("{missing:#}")));
            }
            Err(_) => return Ok(()), // main has said so
        };
        let verified = Verified::beside(&SUPERVISOR)?;
        let depends = Depends::default()
            .and("what looks at it", tools.versions.as_slice())
            .and("what is served", content);
        let name = format!("browser {check} {page}");
        verified.once(&name, &depends, || {
            let request = Request {
                check,
                page,
                pages: &book.pages,
            };
            let answer = self.ask(tools, book, &request)?;
            let mut figures = lock(&self.figures);
            figures.looked_at += 1;
            figures.pages += usize::from(check == "page");
            figures.checks += answer.checks;
            figures.problems += answer.problems.len();
            if answer.problems.is_empty() {
                return Ok(());
            }
            let place = match check {
                "page" => format!("src/{}", page.replace(".html", ".md")),
                _ => "the book".to_owned(),
            };
            Err(Failed::from(format!(
                "{place}, as built:\n- {}\n\
                 repeat with: cargo test --test browser",
                answer.problems.join("\n- ")
            )))
        })
    }

    fn ask(
        &self,
        tools: &Tools,
        book: &Book,
        request: &Request,
    ) -> Result<Answer> {
        let idle = lock(&self.drivers).pop();
        let mut driver = match idle {
            Some(driver) => driver,
            None => Driver::start(tools, book)?,
        };
        let answer = driver.ask(request)?;
        lock(&self.drivers).push(driver);
        Ok(answer)
    }

    /// Ends the browsers and prints what was looked at.
    fn sum_up(&self) {
        lock(&self.drivers).clear();
        let figures = lock(&self.figures);
        if figures.looked_at > 0 {
            println!(
                "looked at {} pages in 5 themes at 2 widths, and in {} ways \
                 at the whole book: {} checks, {} problems\n",
                figures.pages,
                figures.looked_at - figures.pages,
                figures.checks,
                figures.problems
            );
        }
    }
}

/// A check that panicked leaves nothing half done that matters here.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The script that drives Chromium, and the server of the pages.
struct Driver {
    script: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<io::Result<String>>,
}

impl Driver {
    fn start(tools: &Tools, book: &Book) -> Result<Driver> {
        let server = Server::bind(None)?;
        let address = server.address();
        let folder = book.folder.clone();
        // It serves until this test program ends.
        thread::spawn(move || {
            server.serve(&folder).map(|never| match never {})
        });
        let mut script = Command::new("node")
            .args([&tools.script, &tools.chromium])
            .args([&address, REPOSITORY])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start node")?;
        let output = script.stdout.take().context("node has no output")?;
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .try_for_each(|line| sender.send(line))
        });
        Ok(Driver {
            requests: script.stdin.take(),
            answers,
            script,
        })
    }

    fn ask(&mut self, request: &Request) -> Result<Answer> {
        let requests = self.requests.as_mut().context("node has no input")?;
        let line = serde_json::to_string(request)?;
        // If it has ended, there is no answer either.
        let _ = writeln!(requests, "{line}");
        let answer = match self.answers.recv_timeout(ANSWER) {
            Ok(answer) => answer?,
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.script.kill(); // and with it the browser
                bail!("tests/browser/check.mjs has not answered in {ANSWER:?}")
            }
            Err(RecvTimeoutError::Disconnected) => bail!(
                "tests/browser/check.mjs ended without an answer: what it \
                 said stands above"
            ),
        };
        serde_json::from_str(&answer)
            .with_context(|| format!("tests/browser/check.mjs said {answer}"))
    }
}

impl Drop for Driver {
    /// The end of its input tells the script to close the browser.
    fn drop(&mut self) {
        self.requests.take();
        let _ = self.script.wait();
    }
}
