/*
 * The status page: it asks for /status.json again and again, and shows the last answer and what it
 * remembers of those before, which is kept nowhere else.
 */
const PERIOD_MS = 2000, PATIENCE_MS = 5000;
const ROWS_MAX = 500;           /* of a table */

/* ---- history ---- */

const MOVED = { kernel: 'bytes_redirected', copy: 'bytes_copied', bypass: 'bytes_bypassed' };
const past = [];        /* samples; at: the daemon's clock, first: after a gap */
let before = null;      /* the last answer */
let gap = true;         /* nobody asked for a while: the next answer is but a beginning */

/* What was between two answers of one daemon. */
function sampleOf(older, { status, stats }, first) {
	const seconds = (status.uptime_ms - older.status.uptime_ms) / 1000;
	const grown = (key) => Math.max(0, stats[key] - older.stats[key]) / seconds;
	const sample = { at: status.uptime_ms, wall: Date.now(), first, active: status.sessions_active,
			 began: grown('sessions_total'), requests: grown('http_requests'), moved: 0 };

	for (const [engine, key] of Object.entries(MOVED)) {
		sample[engine] = grown(key);
		sample.moved += sample[engine];
	}
	return sample;
}

function remember(answer) {
	const at = answer.status.uptime_ms;

	if (before && (before.status.worker_pid !== answer.status.worker_pid || before.status.uptime_ms > at)) {
		past.length = 0;        /* another daemon, with a clock of its own */
		gap = true;
	}
	if (!gap && at > before.status.uptime_ms)
		past.push(sampleOf(before, answer, before.first));
	while (past.length && past[0].at < at - WINDOW_MS)
		past.shift();
	before = { ...answer, first: gap };
	gap = false;
}

/* ---- what is shown ---- */

const KINDS = {
	up: 'good', unchecked: 'good', going_down: 'warn', down: 'bad', going_up: 'warn', ejected: 'bad',
	probing: 'warn', unresolved: 'warn', drain: 'warn', maint: 'warn',
};
const WHY_COPIED = {
	young: 'over before it was worth a hand-over', config: 'engine = copy', unavailable: 'the kernel engine is off',
	unix: 'a unix socket', foreign: 'a socket made in another cgroup', half_closed: 'one side had ended',
	map_full: 'no room in the kernel\u2019s map', memory: 'memory was short', unlocked: 'another sockops program took the callback',
	refused: 'the kernel refused',
};

function showHead({ status, not_ready }) {
	setText(byId('about'), `${status.version} at ${location.host}, process ${status.pid}, ` +
		`up ${age(status.uptime_ms)}${status.config ? ', ' + status.config : ''}`);
	setText(byId('standing'), not_ready || 'ready');
	setClass(byId('standing'), 'badge ' + (not_ready ? 'warn' : 'good'));
}

function showTiles({ status, stats }) {
	const now = past[past.length - 1] || { moved: 0, began: 0, requests: 0 };

	fillList('tiles', [
		['Open sessions', count(status.sessions_active), 'of ' + count(status.max_sessions)],
		['New sessions', rate(now.began), count(stats.sessions_total) + ' so far'],
		['Throughput', perSecond(now.moved), 'both directions'],
		['Requests', rate(now.requests), count(stats.http_requests) + ' of HTTP/1 so far'],
		['Memory', bytes(status.memory_used), status.memory_max ? 'of ' + bytes(status.memory_max) : 'no limit'],
		['Turned away', count(stats.denied + stats.memory_refusals), 'denied, or no memory'],
	]);
}

function reasons(id, title, family, words) {
	const rows = Object.entries(family).filter(([name, n]) => n > 0 && name !== 'none').sort((a, b) => b[1] - a[1]);

	fillTable(id, [
		{ title, of: ([name]) => ({ text: name, note: words && words[name] }) },
		{ title: 'Count', number: true, of: ([, n]) => count(n) },
	], rows);
}

function showEngines({ status, stats }) {
	const sum = Object.values(MOVED).reduce((all, key) => all + stats[key], 0);
	const names = Object.keys(MOVED).filter((engine) => engine !== 'bypass' || stats.sessions_bypass || stats.bytes_bypassed);

	fillList('engine', [
		['Engine', status.engine], ['Because', status.engine_reason], ['Canary', status.canary],
		['Workers', count(status.workers)],
	]);
	fillTable('engines', [
		{ title: 'Moved by', of: (engine) => engine },
		{ title: 'Sessions', number: true, of: (engine) => count(stats['sessions_' + engine]) },
		{ title: 'Bytes', number: true, of: (engine) => bytes(stats[MOVED[engine]]) },
		{ title: 'Share', number: true, of: (engine) => (sum ? (stats[MOVED[engine]] / sum * 100).toFixed(1) + ' %' : '-') },
	], names);
	reasons('copied', 'Directions that were copied', stats.copy_reasons, WHY_COPIED);
	reasons('unjoined', 'Directions that were not bypassed', stats.bypass_left);
}

function showListeners({ status }) {
	fillTable('listeners', [
		{ title: 'Listener', of: (l) => l.name },
		{ title: 'Protocol', of: (l) => l.protocol },
		{ title: 'Bound to', of: (l) => l.bind.join(', ') },
		{ title: 'Pool', of: (l) => l.pool || '-' },
		{ title: 'Open', number: true, of: (l) => count(l.sessions_active) },
		{ title: 'Total', number: true, of: (l) => count(l.sessions_total) },
	], status.listeners.slice(0, ROWS_MAX), true);
}

/* Sessions say so, or checks. */
function reasonOf(target) {
	return target.state === 'ejected' || target.state === 'probing' ? target.last_error : target.check_reason;
}

/* A server's state, and why it is not up. */
function standing({ server }) {
	const down = server.targets.filter((t) => t.state !== 'up');
	const notes = down.map((t) => [server.targets.length > 1 ? t.address : '', t.state === server.state ? '' : t.state,
				       reasonOf(t), t.passed_over_ms ? `again in ${age(t.passed_over_ms + 999)}` : '']
		.filter(Boolean).join(', '));

	return { text: server.state, kind: KINDS[server.state] || 'plain', note: notes.join('; ') };
}

function showPools({ status }) {
	const all = status.pools.flatMap((pool) => pool.servers.map((server) => ({ pool, server })));
	const down = all.filter(({ server }) => server.state !== 'up');
	const rows = all.length > ROWS_MAX ? [...down, ...all.filter((row) => !down.includes(row))].slice(0, ROWS_MAX) : all;

	setText(byId('pools-summary'), `${status.pools.length} pools, ${all.length} servers, ` +
		(down.length ? `${down.length} not up` : 'all up') +
		(rows.length < all.length ? `; ${rows.length} are shown, those that are not up first` : ''));
	fillTable('pools', [
		{ title: 'Server', of: ({ pool, server }) => ({ text: `${pool.name}/${server.name}`, note: server.backup ? 'backup' : '' }) },
		{ title: 'State', of: standing },
		{ title: 'Address', of: ({ server }) => ({ text: server.address,
			note: server.addresses.filter((a) => a !== server.address).join(', ') }) },
		{ title: 'Balance', of: ({ pool }) => pool.balance },
		{ title: 'Weight', number: true, of: ({ server }) => count(server.weight) },
		{ title: 'Open', number: true, of: ({ server }) => count(server.sessions_active) },
		{ title: 'Total', number: true, of: ({ server }) => count(server.sessions_total) },
		{ title: 'Failures', number: true, of: ({ server }) => count(server.connect_failures) },
	], rows, true);
}

function showEnds({ stats }) {
	const answered = Object.values(stats.http_responses).some((n) => n > 0);

	reasons('ends', 'Sessions that ended', stats.ends);
	reasons('http-ends', 'Requests that ended', stats.http_ends);
	reasons('http-responses', 'Responses', answered ? stats.http_responses : {});
	byId('integrity').hidden = !stats.integrity_aborts;
	setText(byId('integrity'), `${count(stats.integrity_aborts)} sessions were ended because their bytes did not add up`);
}

const plots = [
	new Plot('Throughput', [
		{ name: 'kernel', colour: 'blue', of: (s) => s.kernel },
		{ name: 'bypass', colour: 'green', of: (s) => s.bypass },
		{ name: 'copy', colour: 'orange', of: (s) => s.copy },
	], { stacked: true, ofBytes: true, format: perSecond }),
	new Plot('Open sessions', [{ name: 'open', colour: 'blue', of: (s) => s.active }],
		 { stacked: true, format: count }),
	new Plot('New sessions and requests', [
		{ name: 'sessions', colour: 'blue', of: (s) => s.began },
		{ name: 'requests', colour: 'orange', of: (s) => s.requests },
	], { format: rate }),
];

function show(answer) {
	remember(answer);
	for (const part of [showHead, showTiles, showEngines, showListeners, showPools, showEnds])
		part(answer);
	for (const plot of plots)
		plot.draw(past);
	document.body.classList.remove('gone');
	byId('alarm').hidden = true;
}

/* ---- asking ---- */

let asking = false, timer = 0, gone = null;

function why({ name }) {
	return name === 'AbortError' ? `nothing within ${PATIENCE_MS / 1000} s`
		: name === 'SyntaxError' ? 'what it says is not JSON' : 'it cannot be reached';
}

async function fetchStatus() {
	const abort = new AbortController(), patience = setTimeout(() => abort.abort(), PATIENCE_MS);

	try {
		const response = await fetch('/status.json', { signal: abort.signal, cache: 'no-store' })
			.catch((error) => { throw new Error(why(error)); });

		if (!response.ok)
			throw new Error(`it answered ${response.status}`);
		return await response.json().catch((error) => { throw new Error(why(error)); });
	} finally {
		clearTimeout(patience);
	}
}

/* What is shown stays, dimmed, and says how old it is. */
function showGone(error) {
	gone = gone || new Date();
	gap = true;
	document.body.classList.add('gone');
	byId('alarm').hidden = false;
	setText(byId('alarm'), `No answer from the daemon since ${gone.toLocaleTimeString()} (${error.message}). ` +
		(before ? 'What is below is of that time. ' : '') + 'It is asked again.');
	setText(byId('standing'), 'no answer');
	setClass(byId('standing'), 'badge bad');
}

/* Not of a daemon that this page does not know. */
function shown(answer) {
	try {
		show(answer);
	} catch (error) {
		throw new Error(`what it says cannot be shown: ${error.message}`);
	}
}

/* One question at a time; none while nobody looks. */
async function turn() {
	if (asking)
		return;
	clearTimeout(timer);
	asking = true;
	try {
		shown(await fetchStatus());
		gone = null;
	} catch (error) {
		showGone(error);
	}
	asking = false;
	if (!document.hidden)
		timer = setTimeout(turn, PERIOD_MS);
}

document.addEventListener('visibilitychange', () => {
	clearTimeout(timer);
	if (document.hidden)
		gap = true;
	else
		turn();
});
turn();

