package server

import "time"

// Outage is a time in which the address of the load balancer would not have answered a user.
type Outage struct{ From, To time.Time }

// Downtime lists the times in which the address of the load balancer would not have answered every user,
// reckoned from what happened and not by asking. One that still lasts ends now.
func (c *Cluster) Downtime() []Outage {
	c.enter()
	defer c.leave()
	list := append([]Outage(nil), c.outages...)
	if !c.dark.IsZero() {
		list = append(list, Outage{c.dark, c.now})
	}
	return list
}

// noteUsers is called after all that happens.
func (c *Cluster) noteUsers(now time.Time) {
	answered := c.usersAnswered()
	switch {
	case !answered && c.dark.IsZero():
		c.dark = now
	case answered && !c.dark.IsZero():
		if now.After(c.dark) {
			c.outages = append(c.outages, Outage{c.dark, now})
		}
		c.dark = time.Time{}
	}
}

// usersAnswered reports whether every user's request would be answered: the balancer has a node to send it
// to, and each of those that it may choose does answer.
func (c *Cluster) usersAnswered() bool {
	in := c.balanced()
	for _, n := range in {
		if n.service != serving || c.broken(n) {
			return false
		}
	}
	return len(in) > 0
}

// balanced lists the nodes that the balancer sends requests to.
func (c *Cluster) balanced() []*node {
	var in []*node
	for _, n := range c.nodes {
		if n.inBalancer || c.faults.Has("balancer-ignores-drain", n.name) && !n.gone {
			in = append(in, n)
		}
	}
	return in
}

// balance chooses the node for the next request, in turn; nil when there is none.
func (c *Cluster) balance() *node {
	in := c.balanced()
	if len(in) == 0 {
		return nil
	}
	c.turn++
	return in[c.turn%len(in)]
}
