"""RabbitMQ 3.8 and later: AMQP 0-9-1 and the management API."""
