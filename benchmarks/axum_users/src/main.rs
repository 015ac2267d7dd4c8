//! The page of users from Axum and SQLx, for comparison with Python. `axum-users PORT` serves until it is killed; the
//! database is that of `DATABASE_URL`, the pool has 5 connections.

use std::error::Error;
use std::net::Ipv4Addr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::FromRow;
use tokio::net::TcpListener;

const CONNECTIONS: u32 = 5;
const PAGE: &str = r#"SELECT * FROM "users" ORDER BY user_id LIMIT 100"#;

#[derive(FromRow, Serialize)]
struct User {
    user_id: String,
    username: String,
    email: String,
}

async fn page(State(pool): State<PgPool>) -> Result<Json<Vec<User>>, (StatusCode, String)> {
    sqlx::query_as(PAGE)
        .fetch_all(&pool)
        .await
        .map(Json)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: axum-users PORT")?.parse()?;
    let database = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let pool = PgPoolOptions::new()
        .min_connections(CONNECTIONS)
        .max_connections(CONNECTIONS)
        // A query before each query, to see whether the connection is alive; the Python rows have none either.
        .test_before_acquire(false)
        .connect(&database)
        .await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    axum::serve(listener, Router::new().route("/", get(page)).with_state(pool)).await?;
    Ok(())
}
