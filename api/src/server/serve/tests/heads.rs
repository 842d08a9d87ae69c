//! Bounds on request heads and on the time between them.

use super::*;

#[tokio::test]
async fn head_larger_than_the_bound_is_rejected() {
    let (address, _) = start(router(), Bounds::operators()).await;
    let with = |size: usize| {
        format!(
            "GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n",
            "x".repeat(size)
        )
    };
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, &(with(14_000) + "\r\n")).await;
    assert!(
        read_until(&mut stream, "hello")
            .await
            .starts_with("HTTP/1.1 200")
    );
    // Unfinished, so only its size can be the reason.
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, &with(17_000)).await;
    let response = read_until(&mut stream, "\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 431"), "{response}");
}

#[tokio::test]
async fn more_than_100_headers_are_rejected() {
    let (address, _) = start(router(), Bounds::operators()).await;
    for (headers, status) in [(99, "200"), (100, "431")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let headers = "x: y\r\n".repeat(headers);
        send(
            &mut stream,
            &format!("GET / HTTP/1.1\r\nhost: x\r\n{headers}\r\n"),
        )
        .await;
        let response = read_until(&mut stream, "\r\n\r\n").await;
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}")),
            "{response}"
        );
    }
}

#[tokio::test]
async fn head_that_trickles_is_cut() {
    let (address, registry) = start(router(), bounds()).await;
    // The first head of a connection and a later one; neither may extend its time byte by byte.
    for begin in ["", REQUEST] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, begin).await;
        if !begin.is_empty() {
            read_until(&mut stream, "hello").await;
        }
        let before = cut(&registry, "head");
        let started = Instant::now();
        send(&mut stream, "GET / HTTP/1.1\r\n").await;
        while cut(&registry, "head") == before {
            assert!(started.elapsed() < PATIENT, "it is cut");
            // Fails once it is cut.
            let _ = stream.write_all(b"x").await;
            sleep(Duration::from_millis(20)).await;
        }
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "{:?}",
            started.elapsed()
        );
    }
}

#[tokio::test]
async fn silent_connections_are_cut() {
    let mut bounds = bounds();
    bounds.timeouts.idle = Duration::from_millis(300);
    bounds.timeouts.head = Duration::from_millis(200);
    let (address, registry) = start(router(), bounds).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut served = TcpStream::connect(address).await.unwrap();
    send(&mut served, REQUEST).await;
    read_until(&mut served, "hello").await;
    assert_eq!(read_all(&mut silent).await, "");
    assert_eq!(read_all(&mut served).await, "");
    assert_eq!((cut(&registry, "head"), cut(&registry, "idle")), (1.0, 1.0));
    wait_for("no open connections", || open(&registry) == 0.0).await;
}

#[tokio::test]
async fn slow_responses_and_streams_are_not_cut() {
    let (address, registry) = start(router(), bounds()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, "GET /late HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut stream, "late").await;
    send(&mut stream, "GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut stream, "event 2\n").await;
    // The connection continues: the next head has its full time.
    sleep(Duration::from_millis(500)).await;
    send(&mut stream, REQUEST).await;
    read_until(&mut stream, "hello").await;
    assert_eq!(cut(&registry, "head") + cut(&registry, "idle"), 0.0);
}
