//! What is asked again, how often, and what is not.

use cambist_io::{exchange::FailureClass, transport::LaneOptions};

use crate::{
    ask::{Ask, client, endpoint, quick, run},
    server::{Play, Server},
};

/// What becomes of one question when the server plays `play` for its first `n_times` requests.
fn ask_one(play: Play, n_times: usize) -> (Result<String, FailureClass>, u32, usize) {
    let server = Server::start(move |asked| if asked.number < n_times { play.clone() } else { Play::Answer });
    let tempo = cambist_io::transport::Tempo { breaker_open: 0.01, ..quick() };
    let run = run(&client(&endpoint(&server.url()), tempo), LaneOptions::default(), vec![Ask::new("why")]);
    let [settled] = run.settled.try_into().unwrap();
    (settled.outcome.map_err(|failure| failure.class), settled.attempts, server.n_requests())
}

#[test]
fn an_answer_comes_back_with_its_question() {
    let (outcome, attempts, n_requests) = ask_one(Play::Answer, 0);
    assert_eq!((outcome.as_deref(), attempts, n_requests), (Ok("why"), 1, 1));
}
