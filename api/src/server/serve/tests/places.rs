//! Bounds on the number of connections.

use super::*;

#[tokio::test]
async fn connections_beyond_the_bound_wait_until_others_are_cut() {
    let bounds = Bounds {
        connections: 4,
        ..bounds()
    };
    let (address, registry) = start(router(), bounds).await;
    let mut halves = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, "GET / HTTP/1.1\r\n").await;
        halves.push(stream);
    }
    wait_for("all are open", || open(&registry) == 4.0).await;
    let mut waiting = TcpStream::connect(address).await.unwrap();
    send(&mut waiting, REQUEST).await;
    read_until(&mut waiting, "hello").await;
    assert!(cut(&registry, "head") >= 1.0);
    assert!(metric(&registry, "avalon_http_accept_paused_total", None) >= 1.0);
    assert_eq!(metric(&registry, "avalon_http_connections_max", None), 4.0);
}

#[tokio::test]
async fn connections_beyond_the_address_bound_are_refused() {
    let bounds = Bounds {
        connections_per_address: Some(2),
        ..bounds()
    };
    let (address, registry) = start(router(), bounds).await;
    let mut allowed = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, REQUEST).await;
        read_until(&mut stream, "hello").await;
        allowed.push(stream);
    }
    let mut refused = TcpStream::connect(address).await.unwrap();
    assert_eq!(read_all(&mut refused).await, "");
    assert_eq!((cut(&registry, "address"), open(&registry)), (1.0, 2.0));
    // An allowed one ends, and another may follow.
    allowed.pop();
    wait_for("one is closed", || open(&registry) == 1.0).await;
    let mut next = TcpStream::connect(address).await.unwrap();
    send(&mut next, REQUEST).await;
    read_until(&mut next, "hello").await;
}
