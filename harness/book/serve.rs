//! Serving the built pages on this machine only.

use std::convert::Infallible;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail};
use oxhttp::ListeningServer;
use oxhttp::model::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use oxhttp::model::{Body, Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

/// The port that is tried first when the reader names none.
const FIRST_PORT: u16 = 3000;

/// How many ports are tried after it.
const MORE_PORTS: u16 = 20;

/// A book that is being served.
pub struct Server {
    address: SocketAddr,
    listening: ListeningServer,
    /// Empty until the pages are built.
    folder: Arc<OnceLock<PathBuf>>,
    /// What the reader should know about the port, if anything.
    pub remark: Option<String>,
}

impl Server {
    /// Listens on 127.0.0.1, on `port` or on the first free one from 3000 on.
    ///
    /// # Errors
    /// If `port` is taken, or if no port is given and none is free.
    pub fn bind(port: Option<u16>) -> Result<Server> {
        let Some(port) = port else {
            return Self::bind_first_free();
        };
        match Self::listen(port) {
            Ok(server) => Ok(server),
            Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
                "port {port} is taken by another program: choose another one \
                 with --port, or leave --port out to get a free one"
            ),
            Err(error) => {
                Err(error).with_context(|| format!("cannot use port {port}"))
            }
        }
    }

    fn bind_first_free() -> Result<Server> {
        for port in FIRST_PORT..=FIRST_PORT + MORE_PORTS {
            match Self::listen(port) {
                Ok(mut server) => {
                    server.remark = (port != FIRST_PORT).then(|| {
                        format!(
                            "port {FIRST_PORT} is taken, so this is port {port}"
                        )
                    });
                    return Ok(server);
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot use port {port}"));
                }
            }
        }
        bail!(
            "the ports {FIRST_PORT} to {} are all taken: name a free one \
             with --port",
            FIRST_PORT + MORE_PORTS
        )
    }

    fn listen(port: u16) -> io::Result<Server> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let folder = Arc::new(OnceLock::<PathBuf>::new());
        let pages = Arc::clone(&folder);
        let listening = oxhttp::Server::new(move |request| {
            // A browser that is early waits until the pages are built.
            answer(pages.wait(), request)
        })
        .bind(address)
        .spawn()?;
        Ok(Server {
            address,
            listening,
            folder,
            remark: None,
        })
    }

    /// `http://127.0.0.1:3000/`
    pub fn address(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves the files of `folder` until the process ends. Nothing outside
    /// of `folder` can be asked for; what is not there gets the book's own
    /// page 404.html.
    ///
    /// # Errors
    /// If no connection can be accepted any more.
    pub fn serve(self, folder: &Path) -> Result<Infallible> {
        // It is set here only, and a server is served once.
        let _ = self.folder.set(folder.to_owned());
        self.listening.join().context("the server broke down")?;
        bail!("the server ended")
    }
}

fn answer(folder: &Path, request: &Request<Body>) -> Response<Body> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "a book is read");
        set(&mut answer, ALLOW, "GET, HEAD");
        return answer;
    }
    let path = request.uri().path();
    let mut answer = match inside(folder, path) {
        // Links on the page that a folder stands for are relative to it.
        Some(file) if file.is_dir() && !path.ends_with('/') => {
            let mut answer = text(StatusCode::PERMANENT_REDIRECT, "");
            set(&mut answer, LOCATION, &format!("{path}/"));
            answer
        }
        Some(file) if file.is_dir() => found(&file.join("index.html"), folder),
        Some(file) => found(&file, folder),
        None => missing(folder),
    };
    if request.method() == Method::HEAD {
        *answer.body_mut() = Body::empty();
    }
    answer
}

/// The file that a URL's path names, if it cannot lead out of `folder`.
fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let mut file = folder.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let leads_out = part == ".." || part.contains(['\\', '\0']);
        if leads_out {
            return None;
        }
        file.push(part);
    }
    Some(file)
}

fn found(file: &Path, folder: &Path) -> Response<Body> {
    let Ok(content) = fs::read(file) else {
        return missing(folder);
    };
    let kind = mime_guess::from_path(file).first_or_octet_stream();
    page(StatusCode::OK, content, kind.as_ref())
}

fn missing(folder: &Path) -> Response<Body> {
    match fs::read(folder.join("404.html")) {
        Ok(content) => page(StatusCode::NOT_FOUND, content, "text/html"),
        Err(_) => text(StatusCode::NOT_FOUND, "There is no such page."),
    }
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    page(status, text.as_bytes().to_vec(), "text/plain")
}

fn page(status: StatusCode, content: Vec<u8>, kind: &str) -> Response<Body> {
    let mut answer = Response::new(Body::from(content));
    *answer.status_mut() = status;
    let kind = match kind.starts_with("text/") {
        true => format!("{kind}; charset=utf-8"),
        false => kind.to_owned(),
    };
    set(&mut answer, CONTENT_TYPE, &kind);
    // After the next build a browser shows the new page, not its copy.
    set(&mut answer, CACHE_CONTROL, "no-cache");
    answer
}

/// Sets a header, unless its text cannot stand in one.
fn set(
    answer: &mut Response<Body>,
    name: oxhttp::model::HeaderName,
    value: &str,
) {
    if let Ok(value) = value.parse() {
        answer.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(folder: &Path, method: Method, path: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        let answer = answer(folder, &request);
        let status = answer.status().as_u16();
        let body = answer.into_body().to_string();
        (status, body.unwrap())
    }

    #[test]
    fn only_the_folder_is_served() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("book");
        fs::create_dir_all(folder.join("deep")).unwrap();
        for (file, text) in [
            ("secret", "outside"),
            ("book/index.html", "the first page"),
            ("book/deep/a page.html", "a page"),
            ("book/404.html", "no such page"),
        ] {
            fs::write(place.path().join(file), text).unwrap();
        }
        let get = |path| ask(&folder, Method::GET, path);
        assert_eq!(get("/"), (200, "the first page".to_owned()));
        assert_eq!(get("/deep/a%20page.html?x"), (200, "a page".to_owned()));
        assert_eq!(get("/deep").0, 308);
        for outside in [
            "/../secret",
            "/%2e%2e/secret",
            "/deep/..%2f..%2fsecret",
            "//secret",
            "/deep/",
            "/%ff",
        ] {
            assert_eq!(get(outside), (404, "no such page".to_owned()));
        }
        let head = ask(&folder, Method::HEAD, "/");
        assert_eq!(head, (200, String::new()));
        assert_eq!(ask(&folder, Method::POST, "/").0, 405);
    }

    #[test]
    fn a_file_says_what_it_is() {
        let place = tempfile::tempdir().unwrap();
        for (file, kind) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.svg", "image/svg+xml"),
            ("a.woff2", "font/woff2"),
        ] {
            fs::write(place.path().join(file), "").unwrap();
            let found = found(&place.path().join(file), place.path());
            assert_eq!(found.headers()[CONTENT_TYPE], kind);
        }
    }
}
