//! Key material goes to the server and nowhere else.

use std::collections::BTreeMap;

use cambist_io::{
    endpoint::Endpoint,
    transport::{AuthHeaders, LaneOptions, Transport, TransportError, TransportOptions},
};

use crate::{
    ask::{Ask, client_with, endpoint, quick, run},
    server::{Play, Server},
};

const KEY: &str = "canary-0123456789";

#[test]
fn a_key_that_the_server_repeats_is_in_no_failure_and_no_gauge() {
    let server = Server::start(|_| Play::Status(401, "", "wrong key canary-0123456789"));
    let client = client_with(&endpoint(&server.url()), AuthHeaders::bearer(KEY), quick());
    let run = run(&client, LaneOptions::default(), vec![Ask::new(1), Ask::new(2)]);
    assert!(server.heads()[0].contains(&format!("authorization: Bearer {KEY}")), "{:?}", server.heads());
    let written = format!("{run:?} {:?} {client:?}", client.gauge());
    assert!(!written.contains("canary") && written.contains("[key]"), "{written}");
}

#[test]
fn a_redirect_is_not_followed_with_a_key() {
    let other = Server::start(|_| Play::Answer);
    let to: &'static str = format!("location: {}/v1/ask", other.url()).leak();
    let server = Server::start(move |_| Play::Status(307, to, ""));
    let client = client_with(&endpoint(&server.url()), AuthHeaders::bearer(KEY), quick());
    run(&client, LaneOptions::default(), vec![Ask::new(1)]);
    assert_eq!(other.n_requests(), 0);
}

#[test]
fn headers_of_the_endpoint_are_sent_and_a_variable_that_is_not_set_is_named() {
    let server = Server::start(|_| Play::Answer);
    let with = |name: &str, value: &str| Endpoint {
        headers: BTreeMap::from([(name.to_owned(), value.to_owned())]),
        ..endpoint(&server.url())
    };
    run(&client_with(&with("x-team", "blue"), AuthHeaders::none(), quick()), LaneOptions::default(), vec![Ask::new(1)]);
    assert!(server.heads()[0].contains("x-team: blue"));
    let transport = Transport::start(TransportOptions::default()).unwrap();
    let error = transport.client(&with("x-key", "$CAMBIST_TEST_NEVER_SET"), AuthHeaders::none()).unwrap_err();
    assert!(matches!(&error, TransportError::Variable { variable, .. } if variable == "CAMBIST_TEST_NEVER_SET"));
    let error = transport.client(&with("x key", "blue"), AuthHeaders::none()).unwrap_err();
    assert!(matches!(error, TransportError::Header { .. }));
}
