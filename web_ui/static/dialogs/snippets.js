// @ts-check
/**
 * Programs that ask the model a question, for the address that this page came from. Knows nothing about the page.
 * @module
 */

/** @typedef {{name: string, language: string, code: string}} Snippet */

const QUESTION = "Say hello.";

/**
 * @param {string} address such as http://127.0.0.1:8080
 * @param {string} model
 * @returns {Snippet[]}
 */
export function snippets(address, model) {
  const name = JSON.stringify(model);
  return [
    { name: "curl", language: "bash", code: curl(address, model) },
    { name: "Python", language: "python", code: python(address, name) },
    { name: "JavaScript", language: "javascript", code: javascript(address, name) },
  ];
}

/**
 * @param {string} address
 * @param {string} model
 */
function curl(address, model) {
  const body = JSON.stringify({ model, messages: [{ role: "user", content: QUESTION }] }, null, 2).replaceAll(
    "\n",
    "\n  ",
  );
  return `curl -s ${address}/v1/chat/completions \\
  -H "Content-Type: application/json" \\
  -d '${body.replaceAll("'", "'\\''")}'`;
}

/**
 * @param {string} address
 * @param {string} model
 */
function python(address, model) {
  return `# pip install openai
from openai import OpenAI

client = OpenAI(base_url="${address}/v1", api_key="none")
stream = client.chat.completions.create(
    model=${model},
    messages=[{"role": "user", "content": "${QUESTION}"}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()`;
}

/**
 * @param {string} address
 * @param {string} model
 */
function javascript(address, model) {
  return `// Node.js 18 or newer; save as hello.mjs
const response = await fetch("${address}/v1/chat/completions", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({
    model: ${model},
    messages: [{ role: "user", content: "${QUESTION}" }],
  }),
});
const reply = await response.json();
console.log(reply.choices[0].message.content);`;
}
