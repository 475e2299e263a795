//! Peers as processes, on one machine or several.
//!
//! Rank 0 listens, and all other ranks connect to it. In an all-reduce each of them sends its numbers; rank 0 adds them
//! up in order of rank and sends back the sum. A message is its length in bytes (8 bytes, little-endian) and `f32`s,
//! little-endian. The length 2⁶⁴ − 1 reports a failed peer, and its name follows.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sclsd_model::{Exchange, PeerError};

/// First bytes that a peer sends: the protocol and its version.
const GREETING: &[u8; 8] = b"sclsd\0\0\x02";
/// Length that reports a failed peer.
const GONE: u64 = u64::MAX;
/// Pause between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections to peers in other processes.
#[derive(Debug)]
pub struct Network {
    rank: usize,
    addresses: Vec<String>,
    /// On rank 0: connections to all other ranks, in order. On all other ranks: the connection to rank 0.
    links: Mutex<Vec<Link>>,
}

#[derive(Debug)]
struct Link {
    peer: usize,
    input: BufReader<TcpStream>,
    output: BufWriter<TcpStream>,
}

impl Network {
    /// Connects to the other peers. `addresses` are those of all peers, in order of rank, as `host:port`. Waits for at
    /// most `patience` until all peers are connected; the same limit later applies whenever a peer is silent.
    ///
    /// # Errors
    /// [`PeerError`] names the peer that could not be reached, or that does not speak this protocol.
    pub fn join(addresses: &[String], rank: usize, patience: Duration) -> Result<Self, PeerError> {
        let rendezvous = Rendezvous { addresses, rank, patience, until: Instant::now() + patience };
        let links = if rank == 0 { rendezvous.receive()? } else { vec![rendezvous.connect()?] };
        Ok(Self { rank, addresses: addresses.to_vec(), links: Mutex::new(links) })
    }

    fn gone(&self, peer: usize, error: &io::Error) -> PeerError {
        PeerError { peer: name(&self.addresses, peer), what: silence(error) }
    }

    /// On rank 0: adds the numbers of all other ranks, in order of rank, and sends back the sum.
    fn gather(&self, links: &mut [Link], numbers: &mut [f32]) -> Result<(), PeerError> {
        for link in &mut *links {
            match link.receive() {
                Ok(Received::Numbers(part)) if part.len() == numbers.len() => {
                    numbers.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
                }
                Ok(Received::Numbers(part)) => return Err(self.out_of_step(link.peer, part.len(), numbers.len())),
                Ok(Received::Gone(_)) => return Err(self.out_of_step(link.peer, 0, numbers.len())),
                Err(error) => return Err(self.gone(link.peer, &error)),
            }
        }
        for link in links {
            link.send(numbers).map_err(|error| self.gone(link.peer, &error))?;
        }
        Ok(())
    }

    fn exchange(&self, link: &mut Link, numbers: &mut [f32]) -> Result<(), PeerError> {
        let received = link.send(numbers).and_then(|()| link.receive());
        match received {
            Ok(Received::Numbers(sum)) if sum.len() == numbers.len() => numbers.copy_from_slice(&sum),
            Ok(Received::Numbers(sum)) => return Err(self.out_of_step(link.peer, sum.len(), numbers.len())),
            Ok(Received::Gone(error)) => return Err(error),
            Err(error) => return Err(self.gone(link.peer, &error)),
        }
        Ok(())
    }

    fn out_of_step(&self, peer: usize, theirs: usize, ours: usize) -> PeerError {
        PeerError { peer: name(&self.addresses, peer), what: super::agree::out_of_step(theirs, ours) }
    }
}

impl Exchange for Network {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.addresses.len()
    }

    fn sum(&self, numbers: &mut [f32]) -> Result<(), PeerError> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if self.rank > 0 {
            return links.iter_mut().try_for_each(|link| self.exchange(link, numbers));
        }
        let result = self.gather(&mut links, numbers);
        if let Err(error) = &result {
            // tell the remaining peers which peer failed; the failed peer itself cannot be told
            links.iter_mut().for_each(|link| drop(link.send_gone(error)));
        }
        result
    }
}

/// "1 (host:port)".
fn name(addresses: &[String], peer: usize) -> String {
    format!("{peer} ({})", addresses.get(peer).map_or("unknown", String::as_str))
}

/// Describes why nothing arrives from a peer.
fn silence(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "is silent".into(),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => "has stopped".into(),
        _ => format!("cannot be reached: {error}"),
    }
}

/// How peers connect to each other.
struct Rendezvous<'a> {
    addresses: &'a [String],
    rank: usize,
    patience: Duration,
    until: Instant,
}

impl Rendezvous<'_> {
    /// Rank 0: waits for all other ranks.
    fn receive(&self) -> Result<Vec<Link>, PeerError> {
        let failed = |what: String| PeerError { peer: name(self.addresses, 0), what };
        let cannot = |error: io::Error| failed(format!("cannot listen there: {error}"));
        let listener = TcpListener::bind(&self.addresses[0]).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let mut links: Vec<Option<Link>> = (1..self.addresses.len()).map(|_| None).collect();
        while let Some(missing) = links.iter().position(Option::is_none) {
            match listener.accept() {
                Ok((stream, _)) => {
                    // a connection without a valid greeting is not a peer
                    if let Ok(link) = self.welcome(stream)
                        && let Some(place @ None) = links.get_mut(link.peer.wrapping_sub(1))
                    {
                        *place = Some(link);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() > self.until {
                        let (peer, seconds) = (name(self.addresses, missing + 1), self.patience.as_secs());
                        return Err(PeerError { peer, what: format!("has not joined within {seconds} s") });
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(cannot(error)),
            }
        }
        Ok(links.into_iter().flatten().collect())
    }

    fn welcome(&self, stream: TcpStream) -> io::Result<Link> {
        stream.set_nonblocking(false)?;
        let mut link = Link::new(0, stream, self.patience)?;
        let (mut greeting, mut numbers) = ([0; 8], [[0; 4]; 2]);
        link.input.read_exact(&mut greeting)?;
        numbers.iter_mut().try_for_each(|number| link.input.read_exact(number))?;
        let [rank, count] = numbers.map(|number| u32::from_le_bytes(number) as usize);
        if greeting != *GREETING || count != self.addresses.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        link.output.write_all(GREETING)?;
        link.output.flush()?;
        link.peer = rank;
        Ok(link)
    }

    /// All other ranks: connect to rank 0.
    fn connect(&self) -> Result<Link, PeerError> {
        let failed = |what: String| PeerError { peer: name(self.addresses, 0), what };
        loop {
            match self.greet() {
                Ok(link) => return Ok(link),
                Err(error) if Instant::now() > self.until => {
                    let seconds = self.patience.as_secs();
                    return Err(failed(format!("could not be reached within {seconds} s: {error}")));
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(failed("does not use the protocol of this version of sclsd".into()));
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    fn greet(&self) -> io::Result<Link> {
        let address = self.addresses[0].to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::other("there is no such host"))?;
        let stream = TcpStream::connect_timeout(&address, self.patience)?;
        let mut link = Link::new(0, stream, self.patience)?;
        link.output.write_all(GREETING)?;
        for number in [self.rank, self.addresses.len()] {
            let number = u32::try_from(number).map_err(io::Error::other)?;
            link.output.write_all(&number.to_le_bytes())?;
        }
        link.output.flush()?;
        let mut greeting = [0; 8];
        link.input.read_exact(&mut greeting)?;
        if greeting == *GREETING { Ok(link) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

enum Received {
    Numbers(Vec<f32>),
    Gone(PeerError),
}

impl Link {
    fn new(peer: usize, stream: TcpStream, patience: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { peer, input: BufReader::new(stream.try_clone()?), output: BufWriter::new(stream) })
    }

    fn send(&mut self, numbers: &[f32]) -> io::Result<()> {
        self.output.write_all(&(4 * numbers.len() as u64).to_le_bytes())?;
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.output.write_all(&bytes)?;
        self.output.flush()
    }

    fn send_gone(&mut self, error: &PeerError) -> io::Result<()> {
        self.output.write_all(&GONE.to_le_bytes())?;
        for text in [&error.peer, &error.what] {
            self.output.write_all(&(text.len() as u64).to_le_bytes())?;
            self.output.write_all(text.as_bytes())?;
        }
        self.output.flush()
    }

    fn receive(&mut self) -> io::Result<Received> {
        match self.length()? {
            GONE => {
                let (peer, what) = (self.text()?, self.text()?);
                Ok(Received::Gone(PeerError { peer, what }))
            }
            length => {
                let bytes = self.bytes(length)?;
                Ok(Received::Numbers(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
            }
        }
    }

    fn length(&mut self) -> io::Result<u64> {
        let mut length = [0; 8];
        self.input.read_exact(&mut length)?;
        Ok(u64::from_le_bytes(length))
    }

    /// Reads at most `length` bytes, without allocating `length` bytes in advance.
    fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(length).read_to_end(&mut bytes)?;
        if read as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.length()?;
        Ok(String::from_utf8_lossy(&self.bytes(length)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use sclsd_model::Peers;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Local addresses without a listener.
    fn addresses(count: usize) -> Vec<String> {
        let free: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        free.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
    }

    /// Runs `f` for every peer; returns the results in order of rank.
    fn everyone<T: Send>(count: usize, f: impl Fn(Peers) -> T + Sync) -> Vec<T> {
        let addresses = addresses(count);
        std::thread::scope(|scope| {
            let each = |rank| {
                let (addresses, f) = (&addresses, &f);
                scope.spawn(move || f(Peers::new(Network::join(addresses, rank, PATIENCE).unwrap())))
            };
            (0..count).map(each).collect::<Vec<_>>().into_iter().map(|peer| peer.join().unwrap()).collect()
        })
    }

    #[test]
    fn sums_are_made_in_order_of_rank_and_are_the_same_for_everyone() {
        let found = everyone(3, |peers| {
            let mut sums = Vec::new();
            for round in 0..50_u8 {
                // another order of addition would give another result
                let mut numbers = vec![[1e8, -1e8, 0.1][peers.rank()], f32::from(round)];
                peers.sum(&mut numbers);
                sums.push(numbers);
            }
            peers.check().unwrap();
            sums
        });
        for (round, sums) in (0_u8..).zip(&found[0]) {
            assert_eq!(sums, &[(1e8 + -1e8) + 0.1, 3.0 * f32::from(round)]);
        }
        assert!(found.iter().all(|sums| *sums == found[0]));
    }

    #[test]
    fn a_peer_that_stops_is_an_error_for_all_others_that_names_it() {
        let message = everyone(3, |peers| {
            peers.sum(&mut [1.0]);
            if peers.rank() == 1 {
                return None;
            }
            peers.sum(&mut [1.0]);
            Some(peers.check().unwrap_err())
        });
        for error in [0, 2].map(|rank| message[rank].clone().unwrap()) {
            assert!(error.peer.starts_with("1 (127.0.0.1:") && error.what == "has stopped", "{error}");
        }
    }

    #[test]
    fn peers_that_add_up_different_numbers_are_an_error() {
        let message = everyone(2, |peers| {
            peers.sum(&mut vec![1.0; 3 + peers.rank()]);
            peers.check().unwrap_err().to_string()
        });
        assert!(
            message.iter().all(|message| message.contains("adds up 4 numbers where this one adds up 3")),
            "{message:?}"
        );
    }

    #[test]
    fn a_peer_that_does_not_come_is_an_error_that_names_it_and_strangers_are_not_let_in() {
        let addresses = addresses(2);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| Network::join(&addresses, 0, Duration::from_millis(600)).unwrap_err());
            std::thread::sleep(Duration::from_millis(200));
            drop(TcpStream::connect(&addresses[0]).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n"));
            assert_eq!(
                first.join().unwrap().to_string(),
                format!("peer 1 ({}) has not joined within 0 s", addresses[1])
            );
        });
        let nobody = Network::join(&addresses, 1, Duration::from_millis(300)).unwrap_err().to_string();
        assert!(nobody.starts_with(&format!("peer 0 ({}) could not be reached", addresses[0])), "{nobody}");
    }
}
