"""What does the bastion cost, beside nginx, HAProxy and Envoy, and does it keep the project's targets?"""
