// Two declarations of one property: only one of the imports can stay.
// oxlint-disable-next-line import/no-unassigned-import -- both declare req.session
import "express-session";
// oxlint-disable-next-line import/no-unassigned-import -- both declare req.session
import "sojourn/express/types";
