# Puts the lines of Go's benchmarks, and of jax_step.py, in tables: a line for
# each size, a column for each implementation, with the median of its samples.

function median(key,    i, j, x, v) {
	for (i = 1; i <= samples[key]; i++) {
		x = sample[key, i] + 0
		for (j = i - 1; j > 0 && v[j] > x; j--) v[j + 1] = v[j]
		v[j + 1] = x
	}
	return v[int((samples[key] + 1) / 2)]
}

function list(names, name) { return index("," names ",", "," name ",") ? names : names (names == "" ? "" : ",") name }

/^jax: / { print $0 "\n" }

/^Benchmark/ {
	name = $1
	sub(/^Benchmark/, "", name)
	sub(/-[0-9]+$/, "", name)
	n = "-"
	if (match(name, /\/n=[0-9]+$/)) {
		n = substr(name, RSTART + 3)
		name = substr(name, 1, RSTART - 1)
	}
	what = how = name
	sub(/\/.*/, "", what)
	sub(/^[^\/]*\//, "", how)
	gsub(/[a-z]+=/, "", how)
	for (i = 3; i < NF; i++) {
		if ($(i + 1) != "ns/step") continue
		whats = list(whats, what)
		hows[what] = list(hows[what], how)
		sizes[what] = list(sizes[what], n)
		key = what SUBSEP how SUBSEP n
		sample[key, ++samples[key]] = $i
	}
}

END {
	count = split(whats, w, ",")
	for (i = 1; i <= count; i++) {
		columns = split(hows[w[i]], h, ",")
		lines = split(sizes[w[i]], s, ",")
		printf "%s%s, nanoseconds\n\n%-12s", (i > 1) ? "\n" : "", w[i], "n"
		for (c = 1; c <= columns; c++) printf " %14s", h[c]
		if (w[i] == "Step") printf " %14s", "of the copy"
		print ""
		for (l = 1; l <= lines; l++) {
			printf "%-12s", s[l]
			for (c = 1; c <= columns; c++) {
				key = w[i] SUBSEP h[c] SUBSEP s[l]
				printf " %14s", (key in samples) ? sprintf("%.0f", median(key)) : "-"
			}
			# The bytes per second of the step in a graph over those of the copy.
			copy = w[i] SUBSEP "copy" SUBSEP s[l]
			graph = w[i] SUBSEP "graph" SUBSEP s[l]
			if (w[i] == "Step" && (copy in samples) && (graph in samples)) printf " %14.3f", median(copy) / median(graph)
			print ""
		}
	}
}
