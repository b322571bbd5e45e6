// Node-RED as the pipeline bench runs it: no editor, the flow beside this file, one pool of ten
// connections to PostgreSQL. Everything that differs from run to run comes by the environment.
const path = require("path");
const { Pool } = require("pg");

module.exports = {
  flowFile: path.join(__dirname, "flow.json"),
  uiHost: "127.0.0.1",
  uiPort: Number(process.env.PORT),
  httpAdminRoot: false,
  httpNodeRoot: false,
  credentialSecret: false,
  logging: { console: { level: "info", metrics: false, audit: false } },
  functionGlobalContext: {
    pool: new Pool({
      host: process.env.PGHOST,
      port: Number(process.env.PGPORT),
      user: process.env.PGUSER,
      database: process.env.PGDATABASE,
      max: 10,
    }),
  },
};
