//! Serving the built pages on this machine only.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime;
use tower_http::services::{ServeDir, ServeFile};

/// The port that is tried first when the reader names none.
const FIRST_PORT: u16 = 3000;

/// How many ports are tried after it.
const MORE_PORTS: u16 = 20;

/// A book that is being served.
pub struct Server {
    listener: TcpListener,
    runtime: runtime::Runtime,
    /// What the reader should know about the port, if anything.
    pub remark: Option<String>,
}

impl Server {
    /// Listens on 127.0.0.1, on `port` or on the first free one from 3000 on.
    ///
    /// # Errors
    /// If `port` is taken, or if no port is given and none is free.
    pub fn bind(port: Option<u16>) -> Result<Server> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .context("cannot start the server")?;
        let (listener, remark) = match port {
            Some(port) => (runtime.block_on(listen_on(port))?, None),
            None => runtime.block_on(listen_on_first_free())?,
        };
        Ok(Server {
            listener,
            runtime,
            remark,
        })
    }

    /// `http://127.0.0.1:3000/`
    ///
    /// # Errors
    /// If the system does not tell the port.
    pub fn address(&self) -> Result<String> {
        Ok(format!("http://{}/", self.listener.local_addr()?))
    }

    /// Serves the files of `folder` until the process ends. Nothing outside
    /// of `folder` can be asked for; what is not there gets the book's own
    /// page 404.html.
    ///
    /// # Errors
    /// If no connection can be accepted any more.
    pub fn serve(self, folder: &Path) -> Result<Infallible> {
        let missing = ServeFile::new(folder.join("404.html"));
        let files = ServeDir::new(folder).not_found_service(missing);
        self.runtime.block_on(async {
            loop {
                let (stream, _) = match self.listener.accept().await {
                    Ok(connection) => connection,
                    // The reader's browser gave up on this one.
                    Err(error)
                        if error.kind() == ErrorKind::ConnectionAborted =>
                    {
                        continue;
                    }
                    Err(error) => {
                        return Err(error).context("cannot accept a reader");
                    }
                };
                let files = TowerToHyperService::new(files.clone());
                tokio::spawn(async move {
                    // An error here is one broken connection, no more.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), files)
                        .await;
                });
            }
        })
    }
}

async fn listen_on(port: u16) -> Result<TcpListener> {
    match TcpListener::bind(local(port)).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "port {port} is taken by another program: choose another one \
             with --port, or leave --port out to get a free one"
        ),
        Err(error) => {
            Err(error).with_context(|| format!("cannot use port {port}"))
        }
    }
}

async fn listen_on_first_free() -> Result<(TcpListener, Option<String>)> {
    for port in FIRST_PORT..=FIRST_PORT + MORE_PORTS {
        match TcpListener::bind(local(port)).await {
            Ok(listener) => {
                let remark = (port != FIRST_PORT).then(|| {
                    format!(
                        "port {FIRST_PORT} is taken, so this is port {port}"
                    )
                });
                return Ok((listener, remark));
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

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
