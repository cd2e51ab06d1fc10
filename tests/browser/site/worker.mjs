// Writes a document in a worker, reads it back after a reopen, and tells its age.
import { loadPyodide } from "/pyodide/pyodide.mjs";

const pyodide = await loadPyodide({ indexURL: "/pyodide/" });
const extractDir = pyodide.runPython("import sysconfig; sysconfig.get_path('purelib')");
for (const folder of ["own", "wheels"]) {
  for (const name of await (await fetch(`/${folder}/`)).json()) {
    const wheel = await (await fetch(`/${folder}/${name}`)).arrayBuffer();
    pyodide.unpackArchive(wheel, "wheel", { extractDir });
  }
}
postMessage(
  await pyodide.runPythonAsync(`
import grebe
with grebe.open("indexeddb:worker") as store:
    store.doc("users/1").set({"age": 28})
    store.commit()
async with await grebe.aopen("indexeddb:worker") as store:
    found = str(store.doc("users/1").get().data["age"])
found
`),
);
