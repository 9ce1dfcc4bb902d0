CREATE TABLE products (
  id int PRIMARY KEY,
  name text NOT NULL,
  stock int NOT NULL
);
CREATE TABLE orders (
  id int PRIMARY KEY,
  product_id int NOT NULL REFERENCES products,
  cents int NOT NULL,
  status text NOT NULL
);
INSERT INTO products SELECT n, 'product ' || n, 1000000 FROM generate_series(1, 20) n;
INSERT INTO orders SELECT n, 1 + n % 20, 100 + n * 7 % 9000, 'paid' FROM generate_series(1, 500) n;
ANALYZE;
