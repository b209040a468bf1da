"""What blackbox_exporter says in some seven hundred situations, recorded; and what does the bastion say?

`data/*.json` has a case a line, in groups; `data/modules.yaml` the modules that they name, `data/files.yaml`
module files that are good or bad.  A case:

    id:       unique in its group
    backend:  POD:PORT-NAME, with `scheme` and `path`; written as id of a pod or service, or as proxy path
    target:   the parameter as it stands, instead; `request`: a whole request line
    module, params, headers, user: of the request; no user: who may do everything; null: nobody
    expect:   `status` (one or several), `content_type` (how it begins), `body` and `body_not` (RE), `json`,
              `samples` (all that there are, unless `partial`), `series` (of a service), `seen` at backends

A sample's value is a number, `any`, `some` (more than nothing), `address` (its hash) or `{least: seconds}`.
Of the exporter 0.23 the values were seen (`…_more`: of combinations of modules and backends); what its later
versions say otherwise, up to 0.28, is in them.
`{net}` and `{watched}` are filled in: nothing may ever be dialled at 127.0.0.1:{watched}.
"""
