"""A configuration with every kind of backend, and the files that it refers to."""

EXAMPLE = """\
services:
  shop:
    replicas: 3
    postgres: {url: "${SHOP_URL}", pool_size: 20, max_overflow: 30, analyze: true}
    redis:
      - {name: cache, url: "redis://:c4n4ry@cache", max_connections: 5}
      - {name: sessions, url: file:secret}
    pgbouncer: postgresql://u:c4n4ry@h
    mongodb: {url: "mongodb://u:c4n4ry@h1,h2/shop", max_pool_size: 0}
    rabbitmq: {url: "amqp://u:c4n4ry@broker/v", management: "http://broker:15672"}
    http: [{name: api, url: "https://api.example", health: /healthz, metrics: /metrics}]
    cors:
      url: https://api.example
      origins: ["https://myapp.com"]
      methods: [GET, PUT]
      headers: [authorization]
      paths: [/api/orders]
      refused: ["https://evil.example"]
      credentials: true
    token:
      sample: {file: token.jwt}
      secret: c4n4ry
      leeway: 60
      long_lived: false
      hosts: ["https://a", "https://b"]
    process: [{port: 8000}, {name: worker, unit: worker.service}]
    settings: {file: config/settings.yaml, env: staging}
limits: {postgres.pool_exhaustion: {warning: 0.7}}
ignore: [{check: redis.clients, service: shop, until: 2030-01-31, reason: known}]
checks: [mine]
"""
EXAMPLE_FILES = {
    "secret": "redis://:c4n4ry@sessions\n",
    "token.jwt": "c4n4ry.c4n4ry.c4n4ry\n",
}
