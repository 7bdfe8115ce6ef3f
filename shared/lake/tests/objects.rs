//! The contract that every object store keeps: S3 and the one in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use bytes::Bytes;
use storewatch_lake::memory::MemoryObjects;
use storewatch_lake::s3::S3Objects;
use storewatch_lake::{Condition, LakeError, Objects, Put, Tag};
use storewatch_stack_client::{aws, unique_name};

const TAG: Tag = Tag { name: "storewatch", value: "compacted" };

/// Afterwards `a/one` has the tag, and `b/other` has none.
async fn contract(objects: &dyn Objects) {
    // A missing object is not a failure of the service.
    assert!(matches!(objects.get("a/none").await, Err(LakeError::Missing { .. })));
    assert!(objects.find("a/none").await.unwrap().is_none());
    assert_eq!(objects.list("a/").await.unwrap(), []);

    // A read returns exactly what was put, at once.
    let body = Bytes::from(vec![7_u8; 300_000]);
    objects.put("a/one", body.clone()).await.unwrap();
    assert_eq!(objects.get("a/one").await.unwrap(), body);
    objects.put("a/one", "second".into()).await.unwrap();
    assert_eq!(objects.get("a/one").await.unwrap(), "second");

    // A listing has only the keys with the prefix, in order, and no key that merely starts alike.
    objects.put("a/one.more", "".into()).await.unwrap();
    objects.put("b/other", "".into()).await.unwrap();
    let keys: Vec<String> = objects.list("a/").await.unwrap().into_iter().map(|o| o.key).collect();
    assert_eq!(keys, ["a/one", "a/one.more"]);
    assert_eq!(objects.find("a/one").await.unwrap().unwrap().1, "second");
    assert!(objects.find("a/on").await.unwrap().is_none());

    // Each folder is listed once, whatever it contains. Files directly under the prefix are not folders.
    for key in ["d/x/1", "d/x/2/3", "d/y/1", "d/z"] {
        objects.put(key, "".into()).await.unwrap();
    }
    assert_eq!(objects.folders("d/").await.unwrap(), ["d/x/", "d/y/"]);
    assert_eq!(objects.folders("e/").await.unwrap(), Vec::<String>::new());

    // Absent: the first put wins.
    assert_eq!(objects.put_if("c", "1".into(), Condition::Absent).await.unwrap(), Put::Done);
    assert_eq!(objects.put_if("c", "2".into(), Condition::Absent).await.unwrap(), Put::Conflict);
    assert_eq!(objects.get("c").await.unwrap(), "1");

    // Unchanged: replaces only the version that was read.
    let seen = objects.find("c").await.unwrap().unwrap().0.etag;
    let unchanged = || Condition::Unchanged(seen.clone());
    assert_eq!(objects.put_if("c", "3".into(), unchanged()).await.unwrap(), Put::Done);
    assert_eq!(objects.put_if("c", "4".into(), unchanged()).await.unwrap(), Put::Conflict);
    assert_eq!(objects.get("c").await.unwrap(), "3");
    objects.delete("c").await.unwrap();
    assert_eq!(objects.put_if("c", "5".into(), unchanged()).await.unwrap(), Put::Conflict);

    // A tag changes nothing else, and a missing object cannot be tagged.
    let before = objects.list("a/one").await.unwrap();
    objects.tag("a/one", TAG).await.unwrap();
    objects.tag("a/one", TAG).await.unwrap();
    assert_eq!(objects.list("a/one").await.unwrap(), before);
    assert_eq!(objects.get("a/one").await.unwrap(), "second");
    assert!(matches!(objects.tag("a/none", TAG).await, Err(LakeError::Missing { .. })));
    // The tag belongs to the object, not to the key.
    objects.tag("b/other", TAG).await.unwrap();
    objects.put("b/other", "again".into()).await.unwrap();

    // Deleting twice has the effect of deleting once.
    objects.delete("c").await.unwrap();
    assert!(objects.find("c").await.unwrap().is_none());
}

#[tokio::test]
async fn objects_in_memory_keep_the_contract() {
    let objects = MemoryObjects::default();
    contract(&objects).await;
    assert_eq!(objects.tagged(TAG), ["a/one"]);
}

#[tokio::test]
async fn objects_on_s3_keep_the_contract() {
    let sdk = aws::sdk().await;
    let config = aws_sdk_s3::config::Builder::from(&sdk).force_path_style(true).build();
    let client = aws_sdk_s3::Client::from_conf(config);
    let bucket = unique_name("objects");
    let region = aws_sdk_s3::types::BucketLocationConstraint::from(
        &*storewatch_stack_client::Stack::running().aws.region,
    );
    let place = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(region).build();
    client.create_bucket().bucket(&bucket).create_bucket_configuration(place).send().await.unwrap();
    contract(&S3Objects::new(client.clone(), &bucket, aws::ACCOUNT)).await;
    // `b/other` cannot be checked here: the local S3 keeps an object's tags when it is replaced.
    let found = client.get_object_tagging().bucket(&bucket).key("a/one").send().await.unwrap();
    let found: Vec<_> = found.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
    assert_eq!(found, [(TAG.name, TAG.value)]);

    // Whoever took the bucket's name meanwhile is not trusted with a request.
    let stranger = S3Objects::new(client.clone(), &bucket, "999988887777");
    let body = Bytes::from_static(b"secret");
    let refused = [
        stranger.put("a/one", body).await.err(),
        stranger.get("a/one").await.err(),
        stranger.list("a/").await.err(),
        stranger.folders("a/").await.err(),
        stranger.delete("a/one").await.err(),
        stranger.tag("a/one", TAG).await.err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(LakeError::Failed { .. })), "{error:?}");
    }

    let absent = S3Objects::new(client, unique_name("absent"), aws::ACCOUNT);
    let error = absent.put("k", "".into()).await.unwrap_err();
    assert!(matches!(error, LakeError::Failed { operation: "put", .. }), "{error}");
    assert!(error.to_string().contains(&format!("s3://{}/k", absent.bucket())), "{error}");
}

/// A server that answers puts with these status codes in turn, and returns how many it answered.
async fn answering(answers: &'static [(u16, &'static str)]) -> (S3Objects, tokio::task::JoinHandle<usize>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sdk = aws::sdk().await;
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let config =
        aws_sdk_s3::config::Builder::from(&sdk).endpoint_url(endpoint).force_path_style(true).build();
    let objects = S3Objects::new(aws_sdk_s3::Client::from_conf(config), "lake", aws::ACCOUNT);
    let answered = tokio::spawn(async move {
        for (status, code) in answers {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                assert!(client.read_buf(&mut request).await.unwrap() > 0);
            }
            let body = format!("<Error><Code>{code}</Code><Message>stubbed</Message></Error>");
            let body = if *status == 200 { String::new() } else { body };
            let answer = format!(
                "HTTP/1.1 {status} Stub\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            client.write_all(answer.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            // An unread rest would reset the connection, and the answer would be lost.
            while client.read_buf(&mut request).await.is_ok_and(|n| n > 0) {}
        }
        answers.len()
    });
    (objects, answered)
}

#[tokio::test]
async fn a_put_that_meets_another_write_is_retried_and_only_a_failed_condition_is_a_conflict() {
    const CROSSED: (u16, &str) = (409, "ConditionalRequestConflict");
    for condition in [Condition::Always, Condition::Absent, Condition::Unchanged("\"1\"".to_owned())] {
        let (objects, answered) = answering(&[CROSSED, (409, "OperationAborted"), (200, "")]).await;
        assert_eq!(
            objects.put_if("k", "".into(), condition.clone()).await.unwrap(),
            Put::Done,
            "{condition:?}"
        );
        assert_eq!(answered.await.unwrap(), 3);
    }
    let (objects, answered) = answering(&[CROSSED, (412, "PreconditionFailed")]).await;
    assert_eq!(objects.put_if("k", "".into(), Condition::Absent).await.unwrap(), Put::Conflict);
    assert_eq!(answered.await.unwrap(), 2);
    // A put that meets other writes every time fails: whether the condition holds is unknown.
    let (objects, answered) = answering(&[CROSSED; 7]).await;
    let error = objects.put_if("k", "".into(), Condition::Absent).await.unwrap_err();
    assert!(matches!(error, LakeError::Failed { operation: "put", .. }), "{error}");
    assert_eq!(answered.await.unwrap(), 7);
}
