"""The core's database as such: connections and what its errors mean, whatever is kept in it."""
