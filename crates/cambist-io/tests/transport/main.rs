//! The transport against a server that misbehaves, over real sockets.

#[cfg(test)]
mod ask;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod nothing_lost;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod server;
#[cfg(test)]
mod stops;
