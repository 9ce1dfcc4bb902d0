CREATE TABLE customers (
  name text PRIMARY KEY,
  password_hash bytea NOT NULL
);
CREATE TABLE stock (
  product_id int PRIMARY KEY,
  available int NOT NULL
);
CREATE TABLE orders (
  id int PRIMARY KEY,
  product_id int NOT NULL REFERENCES stock,
  cents int NOT NULL,
  status text NOT NULL
);
CREATE INDEX orders_product_id_idx ON orders (product_id);
INSERT INTO stock SELECT n, 1000000 FROM generate_series(1, 20) n;
INSERT INTO orders SELECT n, 1 + n % 20, 100 + n * 7 % 9000, 'paid' FROM generate_series(1, 500) n;
ANALYZE;
