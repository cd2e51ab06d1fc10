"""A task that follows a collection as a stream, while another writes."""

import asyncio

import grebe


async def follow(readings: grebe.Collection[dict[str, float]], started: asyncio.Event) -> None:
    """Print each list of changes until the store is closed, which ends the stream."""
    changes = readings.stream_changes()
    started.set()
    async for together in changes:
        for change in together:
            print(change.event.name, change.id, change.data)
    print("the stream ended")


async def main() -> None:
    async with await grebe.aopen() as store:  # without a directory: in memory only
        readings = store.collection("readings")
        started = asyncio.Event()
        task = asyncio.create_task(follow(readings, started))
        await started.wait()
        for hour, degrees in enumerate((11.5, 12.0, 14.5)):
            readings.doc(f"{hour:02}").set({"degrees": degrees})
            await asyncio.sleep(0)  # one turn of the event loop ends: the others hear of it
        # Two writes in one turn are one list of changes.
        readings.doc("00").delete()
        readings.doc("01").update(degrees=12.5)
        await asyncio.sleep(0)
    await task


if __name__ == "__main__":
    asyncio.run(main())
