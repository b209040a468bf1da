"""· Kubernetes' values and their wire forms.  Imports no other package of ours."""
