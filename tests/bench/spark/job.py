"""The Spark job that Storewatch replaces, with the full rules of hours and exceptions, as `make bench` measures it.

It does a round for each line of standard input, which is the instant to judge (seconds since 1970), and answers with a
line of JSON. Its files stay on this machine. Like most such jobs it compares wall clocks, not instants: on days without a
change of clocks the results are the same. Keeping what it reads in memory for a round was tried, and was slower.
"""

import argparse
import glob
import json
import sys
import time

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

DAY = 86_400


def session(args: argparse.Namespace) -> SparkSession:
    settings = {
        "spark.jars": ",".join(sorted(glob.glob(f"{args.jars}/*.jar"))),
        "spark.driver.memory": "2g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.session.timeZone": "UTC",
    }
    builder = SparkSession.builder.master("local[2]")
    made = builder.config(map=settings).getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    return made


class Job:
    def __init__(self, args: argparse.Namespace):
        self.args, self.spark = args, session(args)
        self.zones = list(self.spark.sparkContext._jvm.java.time.ZoneId.getAvailableZoneIds())

    def table(self, sql: str, by: str | None) -> DataFrame:
        """Rows of PostgreSQL, read by two connections if there is a column to divide them by."""
        reader = self.spark.read.format("jdbc").option("driver", "org.postgresql.Driver").option("fetchsize", 10_000)
        named = {"url": self.args.postgres, "user": self.args.user, "password": self.args.password}
        reader = reader.options(**named).option("dbtable", f"({sql}) as q")
        if by:
            bounds = {"lowerBound": self.args.first, "upperBound": self.args.last, "numPartitions": 2}
            reader = reader.option("partitionColumn", by).options(**bounds)
        return reader.load()

    def hours(self, sql: str, by: str | None) -> DataFrame:
        """Rows of hours, in seconds of the day: whether they are valid, and when they end if that is the next day."""
        rows = self.table(sql, by).withColumn("bad", F.col("opens").isNull() != F.col("closes").isNull())
        ends = F.when(F.col("closes") <= F.col("opens"), F.col("closes") + DAY).otherwise(F.col("closes"))
        return rows.withColumn("ends", ends)

    def live_view(self) -> DataFrame:
        address, _, port = self.args.elasticsearch.partition(":")
        nodes = {"es.nodes": address, "es.port": port, "es.nodes.wan.only": "true", "es.scroll.size": "10000"}
        read = self.spark.read.format("org.elasticsearch.spark.sql").options(**nodes).load(self.args.index)
        reason = F.first("offline_reason", ignorenulls=True).alias("reason")
        return read.groupBy("store_id").agg(F.max("online").alias("online"), reason)

    def run(self, at: int) -> None:
        now = F.lit(at).cast("timestamp")
        seconds = "extract(epoch from opens)::int as opens, extract(epoch from closes)::int as closes"
        columns = "id as store_id, name, city, region, chain, segment, owner"
        stores = self.table(
            f"select {columns}, coalesce(timezone, '{self.args.zone}') as tz from stores where active", "store_id"
        )
        weekly = self.hours(f"select store_id, weekday::int as weekday, {seconds} from store_hours", "store_id")
        dates = "date between current_date - 3 and current_date + 14"
        exceptions = self.hours(f"select store_id, date, {seconds} from store_exceptions where {dates}", None)
        weekly = weekly.withColumn("bad", F.col("bad") | ~F.col("weekday").between(1, 7))
        bad = weekly.union(exceptions.select(weekly.columns[0], F.lit(1), *weekly.columns[2:])).where("bad")
        bad = bad.select("store_id", F.lit(True).alias("spoilt")).distinct()
        stores = stores.withColumn("known", F.col("tz").isin(self.zones))
        zone = F.when(F.col("known"), F.col("tz")).otherwise("UTC")
        local = stores.withColumn("local", F.from_utc_timestamp(now, zone))
        seconds_of = F.hour("local") * 3600 + F.minute("local") * 60 + F.second("local")
        local = local.select("store_id", seconds_of.alias("second"), F.to_date("local").alias("today"))
        # The day's own hours, and those of the day before that run past midnight.
        both = [
            local.select("store_id", F.date_sub("today", n).alias("date"), (F.col("second") + n * DAY).alias("second"))
            for n in (0, 1)
        ]
        days = both[0].union(both[1]).withColumn("weekday", (F.dayofweek("date") + 5) % 7 + 1)
        replaced = exceptions.select("store_id", "date").distinct()
        usual = days.join(replaced, ["store_id", "date"], "left_anti").join(weekly, ["store_id", "weekday"])
        special = days.join(exceptions, ["store_id", "date"])
        open_now = [one.where("opens <= second and second < ends").select("store_id") for one in (usual, special)]
        scheduled = open_now[0].union(open_now[1]).distinct().withColumn("scheduled", F.lit(True))
        rows = stores.join(bad, "store_id", "left").join(scheduled, "store_id", "left")
        rows = rows.join(self.live_view().withColumn("listed", F.lit(True)), "store_id", "full")
        rows = rows.withColumn("status", status()).withColumn("observed_at", now).drop("known", "spoilt")
        write = rows.coalesce(1).sortWithinPartitions("store_id").write.option("compression", "zstd")
        write.mode("overwrite").parquet(f"{self.args.out}/rows")


def status() -> Column:
    def has(name: str) -> Column:
        return F.coalesce(F.col(name), F.lit(False))

    found = F.when(F.col("tz").isNull(), "orphan").when(has("spoilt") | ~has("known"), "unknown")
    found = found.when(has("scheduled") & has("online"), "available").when(
        has("scheduled") & has("listed"), "unavailable"
    )
    return found.when(has("scheduled"), "unlisted").when(has("online"), "unexpected").otherwise("closed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("jars", "out", "postgres", "user", "password", "elasticsearch", "index", "zone", "first", "last"):
        parser.add_argument(f"--{name}", required=True)
    job = Job(parser.parse_args())
    for line in sys.stdin:
        started = time.perf_counter()
        job.run(int(line))
        print(json.dumps({"ms": 1e3 * (time.perf_counter() - started)}), flush=True)
